/** An engine in RAM starts within milliseconds, because it loads nothing that only disks, archives or SQL need. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { repositoryRoot } from '../support/repository.ts'

function loadedModules(): readonly string[] {
  const child = join(repositoryRoot, 'test/integration/start-child.ts')
  const { status, stdout, stderr } = spawnSync(process.execPath, [child], { encoding: 'utf8' })
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  const { loaded, seen } = JSON.parse(stdout) as { loaded: string[]; seen: unknown[] }
  expect(seen).toEqual([2, 8, 1])
  return loaded
}

test('opening, appending, reading and closing in RAM loads no package, no file access and no thread', () => {
  const loaded = loadedModules()
  // The hook saw what was loaded at all.
  expect(loaded.filter((url) => url.endsWith('/src/engine/stratalog.ts'))).toHaveLength(1)
  expect(loaded.filter((url) => url.includes('/node_modules/'))).toEqual([])
  expect(loaded.filter((url) => /\/src\/(storage|snapshot|replay)\//.test(url))).toEqual([])
  const builtins = ['fs', 'fs/promises', 'worker_threads', 'child_process', 'crypto', 'net']
  expect(loaded.filter((url) => builtins.includes(url.replace('node:', '')))).toEqual([])
})
