/** What an engine in RAM, and a server, load at their start: nothing that only others need, so that they start soon. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
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

test('a server in RAM that answered an append has loaded no client for HTTP, no digests, no zlib and no threads', async () => {
  const atExit = `process.on('exit', () => process.stderr.write(JSON.stringify(process.moduleLoadList)))`
  const child = spawn(process.execPath, [
    ...['--import', `data:text/javascript,${encodeURIComponent(atExit)}`],
    ...[join(repositoryRoot, 'src/cli/main.ts'), 'serve', '--memory-only'],
    ...['--port', '0', '--log-level', 'silent'],
  ])
  child.stderr.setEncoding('utf8')
  let said = ''
  child.stderr.on('data', (text: string) => {
    said += text
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const { url } = JSON.parse(line.toString()) as { readonly url: string }
  const post = async (path: string, body: string): Promise<number> => {
    const headers = { 'content-type': 'application/json' }
    return (await fetch(`${url}${path}`, { method: 'POST', headers, body })).status
  }
  expect(await post('/v1/logs', '{"name":"events"}')).toBe(201)
  expect(await post('/v1/logs/events/records', '{"id":1}')).toBe(200)
  child.kill('SIGTERM')
  await once(child, 'close')
  const loaded = (JSON.parse(said) as string[]).map((name) => name.replace(/^NativeModule /, ''))
  expect(loaded).toContain('_http_server')
  const unused = ['internal/deps/undici/undici', 'crypto', 'zlib', 'worker_threads', 'tls']
  expect(unused.filter((name) => loaded.includes(name))).toEqual([])
})
