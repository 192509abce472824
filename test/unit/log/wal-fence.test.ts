import { expect, test } from 'vitest'
import type { WalFence } from '../../../src/log/wal-fence.ts'
import { MemorySyncFileSystem } from '../../../src/storage/memory-sync-file-system.ts'
import { appendPayload, openTestWal, readTestWal, testPayload } from '../../support/wal.ts'

const OURS = '{"pid":1}\n'

function fence(isStrict: boolean): WalFence {
  return { path: 'wal/lock', text: OURS, isStrict }
}

function locked(): MemorySyncFileSystem {
  const fileSystem = new MemorySyncFileSystem()
  fileSystem.makeDirectory('wal')
  fileSystem.replace('wal/lock', Buffer.from(OURS))
  return fileSystem
}

function take(fileSystem: MemorySyncFileSystem): void {
  fileSystem.replace('wal/lock', Buffer.from('{"pid":2}\n'))
}

test.each([true, false])('a writer that holds its lock acknowledges (strict: %s)', (isStrict) => {
  const open = openTestWal(locked(), { fence: fence(isStrict) })
  for (let index = 0; index < 20; index++) {
    appendPayload(open.wal, index, testPayload(index, 300))
    open.run()
  }
  expect(open.wal.durableLsn).toBe(open.wal.appendedLsn)
})

test('one that was superseded before it writes, writes nothing where that may happen', () => {
  const fileSystem = locked()
  const open = openTestWal(fileSystem, { fence: fence(true) })
  take(fileSystem)
  const writes: string[] = []
  fileSystem.faults = ({ kind }): undefined => {
    if (kind !== 'open' && kind !== 'read') writes.push(kind)
  }
  appendPayload(open.wal, 0, testPayload(0, 100))
  open.run()
  expect(open.wal.failure).toMatchObject({
    code: 'writer_fenced',
    details: { rival: '{"pid":2}\n' },
  })
  expect([open.wal.durableLsn, writes]).toEqual([0, []])
})

test.each([true, false])(
  'one that was superseded while it syncs acknowledges nothing (strict: %s)',
  (isStrict) => {
    const fileSystem = locked()
    const open = openTestWal(fileSystem, { fence: fence(isStrict) })
    fileSystem.faults = ({ kind }): undefined => {
      if (kind === 'dataSync') take(fileSystem)
    }
    appendPayload(open.wal, 0, testPayload(0, 100))
    open.run()
    expect(open.wal.failure).toMatchObject({ code: 'writer_fenced' })
    expect(open.wal.durableLsn).toBe(0)
    // What was durable before the look is what a successor finds.
    expect(readTestWal(fileSystem).endLsn).toBe(open.wal.appendedLsn)
  },
)

test('one whose lock is gone makes no file, gives none up, and cannot begin', () => {
  const fileSystem = locked()
  const open = openTestWal(fileSystem, { fence: fence(false) })
  for (let index = 0; index < 8; index++) appendPayload(open.wal, index, testPayload(index, 300))
  open.run()
  const files = fileSystem.list('wal')
  fileSystem.remove('wal/lock')
  open.wal.release(open.wal.durableLsn)
  open.run()
  expect(open.wal.failure).toMatchObject({ code: 'writer_fenced', details: { rival: null } })
  expect(fileSystem.list('wal')).toEqual(files.filter((name) => name !== 'lock'))
  expect(() => openTestWal(fileSystem, { epoch: 2, fence: fence(false) })).toThrow(
    'Another process',
  )
})
