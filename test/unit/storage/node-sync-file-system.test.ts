import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { SyncFileSystem } from '../../../src/storage/file-system.ts'
import { MemorySyncFileSystem } from '../../../src/storage/memory-sync-file-system.ts'
import { NodeSyncFileSystem } from '../../../src/storage/node-sync-file-system.ts'

let directory = ''

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'stratalog-sync-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const implementations: readonly (readonly [
  string,
  () => { fileSystem: SyncFileSystem; root: string },
])[] = [
  ['over node:fs', () => ({ fileSystem: new NodeSyncFileSystem(), root: join(directory, 'root') })],
  ['in memory', () => ({ fileSystem: new MemorySyncFileSystem(), root: 'root' })],
]

describe.each(implementations)('a synchronous file system %s', (_, make) => {
  function made(): { fileSystem: SyncFileSystem; root: string } {
    const { fileSystem, root } = make()
    fileSystem.makeDirectory(root)
    return { fileSystem, root }
  }

  test('reads back what was written, at positions, with zeros in holes', () => {
    const { fileSystem, root } = made()
    const file = fileSystem.open(`${root}/a`, 'create')
    file.write(Uint8Array.of(1, 2, 3), 4)
    file.write(Uint8Array.of(9), 5)
    file.dataSync()
    file.sync()
    expect(file.length()).toBe(7)
    const into = new Uint8Array(10).fill(0xee)
    expect(file.read(into, 0)).toBe(7)
    expect([...into]).toEqual([0, 0, 0, 0, 1, 9, 3, 0xee, 0xee, 0xee])
    expect(file.read(into, 7)).toBe(0)
    file.close()
    const again = fileSystem.open(`${root}/a`, 'read')
    expect(again.length()).toBe(7)
    again.close()
  })

  test('writes from shared memory', () => {
    const { fileSystem, root } = made()
    const file = fileSystem.open(`${root}/a`, 'create')
    file.write(new Uint8Array(new SharedArrayBuffer(16)).fill(7).subarray(4, 8), 0)
    const into = new Uint8Array(8)
    expect(file.read(into, 0)).toBe(4)
    expect([...into]).toEqual([7, 7, 7, 7, 0, 0, 0, 0])
    file.close()
  })

  test('creates no file whose name is taken, and opens none that is not there', () => {
    const { fileSystem, root } = made()
    fileSystem.open(`${root}/a`, 'create').close()
    expect(() => fileSystem.open(`${root}/a`, 'create')).toThrow(
      expect.objectContaining({ code: 'file_exists' }),
    )
    for (const how of ['read', 'write'] as const) {
      expect(() => fileSystem.open(`${root}/b`, how)).toThrow(
        expect.objectContaining({ code: 'file_not_found' }),
      )
    }
  })

  test('renames over a file, removes, and lists in the order of bytes', () => {
    const { fileSystem, root } = made()
    for (const name of ['b', 'a', 'B']) fileSystem.open(`${root}/${name}`, 'create').close()
    const file = fileSystem.open(`${root}/b`, 'write')
    file.write(Uint8Array.of(5), 0)
    file.close()
    fileSystem.rename(`${root}/b`, `${root}/a`)
    fileSystem.syncDirectory(root)
    expect(fileSystem.list(root)).toEqual(['B', 'a'])
    expect(fileSystem.open(`${root}/a`, 'read').length()).toBe(1)
    fileSystem.remove(`${root}/a`)
    fileSystem.remove(`${root}/a`)
    expect(fileSystem.list(root)).toEqual(['B'])
    expect(() => fileSystem.rename(`${root}/a`, `${root}/c`)).toThrow(
      expect.objectContaining({ code: 'file_not_found' }),
    )
    expect(() => fileSystem.list(`${root}/none`)).toThrow(
      expect.objectContaining({ code: 'file_not_found' }),
    )
  })

  test('makes a directory that is there already without harm', () => {
    const { fileSystem, root } = made()
    fileSystem.open(`${root}/a`, 'create').close()
    fileSystem.makeDirectory(root)
    expect(fileSystem.list(root)).toEqual(['a'])
  })
})

describe('the synchronous file system over node:fs', () => {
  test('makes directories with their parents, for the owner alone, and files too', () => {
    const fileSystem = new NodeSyncFileSystem()
    fileSystem.makeDirectory(join(directory, 'a/b/c'))
    fileSystem.open(join(directory, 'a/b/c/file'), 'create').close()
    expect(
      ['a', 'a/b', 'a/b/c'].map((path) => statSync(join(directory, path)).mode & 0o777),
    ).toEqual([0o700, 0o700, 0o700])
    expect(statSync(join(directory, 'a/b/c/file')).mode & 0o777).toBe(0o600)
  })

  test('fails to make a directory below a file, and where no names are taken', () => {
    writeFileSync(join(directory, 'file'), '')
    for (const path of [
      join(directory, 'file'),
      join(directory, 'file/below'),
      '/proc/stratalog/below',
    ]) {
      expect(() => new NodeSyncFileSystem().makeDirectory(path), path).toThrow(
        expect.objectContaining({ name: 'StratalogError' }),
      )
    }
  })

  test('names path and errno of what failed', () => {
    const path = join(directory, 'none')
    expect(() => new NodeSyncFileSystem().open(path, 'read')).toThrow(
      expect.objectContaining({
        details: expect.objectContaining({ path, errno: 'ENOENT' }) as unknown,
      }),
    )
  })

  test('a full device is disk_full', () => {
    const file = new NodeSyncFileSystem().open('/dev/full', 'write')
    expect(() => file.write(new Uint8Array(10), 0)).toThrow(
      expect.objectContaining({ code: 'disk_full' }),
    )
    file.close()
  })
})
