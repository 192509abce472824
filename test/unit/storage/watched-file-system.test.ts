import { expect, test } from 'vitest'
import { StratalogError, type ErrorCode } from '../../../src/base/errors.ts'
import type { FileSystem } from '../../../src/storage/file-system.ts'
import { MemoryFileSystem } from '../../../src/storage/memory-file-system.ts'
import { WatchedFileSystem } from '../../../src/storage/watched-file-system.ts'
import { expectError } from '../../support/expect-error.ts'

interface Failure {
  readonly code: ErrorCode
  readonly errno: string
  readonly operation: string
}

/** A file system whose changes all fail in one way. */
function failing({ code, errno, operation }: Failure): FileSystem {
  const files = new MemoryFileSystem()
  const fail = async (): Promise<never> => {
    throw new StratalogError(code, `${operation}: ${errno}`, { details: { errno, operation } })
  }
  return Object.assign(files, {
    create: async () => ({ write: fail, sync: fail, close: async () => {} }),
    rename: fail,
    putIfAbsent: fail,
    syncDirectory: fail,
  })
}

async function toldOf(failure: Failure): Promise<Record<string, number>> {
  const told: StratalogError[] = []
  const files = new WatchedFileSystem(failing(failure), (error) => told.push(error))
  const file = await files.create('a')
  const calls = {
    write: () => file.write(new Uint8Array(1)),
    sync: () => file.sync(),
    rename: () => files.rename('a', 'b'),
    putIfAbsent: () => files.putIfAbsent('a', new Uint8Array(1)),
    syncDirectory: () => files.syncDirectory('.'),
  }
  const counts: Record<string, number> = {}
  for (const [name, call] of Object.entries(calls)) {
    const before = told.length
    await expectError(call(), failure.code)
    counts[name] = told.length - before
  }
  return counts
}

const ALL = { write: 1, sync: 1, rename: 1, putIfAbsent: 1, syncDirectory: 1 }
const SYNCS = { write: 0, sync: 1, rename: 0, putIfAbsent: 0, syncDirectory: 1 }
const NONE = { write: 0, sync: 0, rename: 0, putIfAbsent: 0, syncDirectory: 0 }

test.each([
  [
    'an I/O error of any change',
    { code: 'file_system_failed', errno: 'EIO', operation: 'write' },
    ALL,
  ],
  [
    'a failed sync inside of a call',
    { code: 'file_system_failed', errno: 'EDQUOT', operation: 'sync' },
    ALL,
  ],
  [
    'no room at a sync, and not at a write',
    { code: 'disk_full', errno: 'ENOSPC', operation: 'write' },
    SYNCS,
  ],
  [
    'nothing where a directory cannot be opened',
    { code: 'file_system_failed', errno: 'EMFILE', operation: 'open the directory' },
    NONE,
  ],
] as const)('the watcher is told of %s', async (_name, failure, expected) => {
  expect(await toldOf(failure)).toEqual(expected)
})

test('what succeeds goes through', async () => {
  const files = new WatchedFileSystem(new MemoryFileSystem(), () => expect.fail('nothing failed'))
  await files.makeDirectory('a')
  await files.putIfAbsent('a/b', Uint8Array.of(1, 2))
  await files.rename('a/b', 'a/c')
  expect([await files.list('a'), [...(await files.read('a/c'))]]).toEqual([['c'], [1, 2]])
  await files.remove('a/c')
  expect(await files.stat('a/c')).toBeNull()
})
