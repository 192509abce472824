import { describe, expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import { APPEND_BYTES_MAX, WAL_SPARE_FILES_MAX } from '../../../src/format/limits.ts'
import { WAL_FILE_HEADER_BYTES } from '../../../src/format/wal-file.ts'
import { walFrameBytes } from '../../../src/format/wal-frame.ts'
import {
  MemorySyncFileSystem,
  type SyncOperation,
} from '../../../src/storage/memory-sync-file-system.ts'
import {
  SMALL_RING_BYTES,
  type ReadFrame,
  appendFields,
  appendPayload,
  closeTestWal,
  openTestWal,
  readTestWal,
  testPayload,
} from '../../support/wal.ts'

const EIO = (path: string): StratalogError =>
  new StratalogError('file_system_failed', 'EIO', { details: { errno: 'EIO', path } })
const ENOSPC = (path: string): StratalogError =>
  new StratalogError('disk_full', 'ENOSPC', { details: { errno: 'ENOSPC', path } })

function offsets(frames: readonly ReadFrame[]): number[] {
  return frames.filter(({ frame }) => frame.kind === 'append').map(({ frame }) => frame.baseOffset)
}

function scanOffsets(fileSystem: MemorySyncFileSystem, fromLsn = 0): number[] {
  const frames: ReadFrame[] = []
  readTestWal(fileSystem, frames, fromLsn)
  return offsets(frames)
}

/** Appends `count` frames of `length` bytes, letting the writer work whenever the ring is full. */
function appendMany(
  open: ReturnType<typeof openTestWal>,
  first: number,
  count: number,
  length: number,
): number[] {
  return Array.from({ length: count }, (_, index) => {
    const end = appendPayload(open.wal, first + index, testPayload(first + index, length))
    if (open.wal.backpressure !== null) open.run()
    return end
  })
}

describe('the WAL', () => {
  test('gives LSNs at once, and back the frames it was given', () => {
    const fileSystem = new MemorySyncFileSystem()
    const open = openTestWal(fileSystem)
    const ends = [0, 1, 8, 900].map((length, index) =>
      appendPayload(open.wal, index, testPayload(index, length)),
    )
    expect(ends).toEqual([80, 168, 256, 256 + walFrameBytes(900)])
    expect([open.wal.appendedLsn, open.wal.durableLsn]).toEqual([ends[3], 0])
    open.run()
    expect(open.wal.durableLsn).toBe(ends[3])
    const frames: ReadFrame[] = []
    const result = readTestWal(fileSystem, frames)
    expect(result).toMatchObject({ endLsn: ends[3], torn: null, files: [0, 256] })
    expect(frames.map(({ payload }) => payload)).toEqual(
      [0, 1, 8, 900].map((length, index) => testPayload(index, length)),
    )
    expect(frames[3]?.frame).toMatchObject({
      ...appendFields(3),
      lsn: 256,
      epoch: 1,
      payloadLength: 900,
    })
  })

  test('acknowledges a group after the sync that covers it, and what came during that sync with the next', () => {
    const fileSystem = new MemorySyncFileSystem()
    const open = openTestWal(fileSystem)
    const durable: number[] = []
    open.wal.onDurable((lsn) => durable.push(lsn))
    appendMany(open, 0, 3, 8)
    fileSystem.faults = ({ kind }): undefined => {
      if (kind !== 'dataSync') return
      fileSystem.faults = (): undefined => undefined
      expect(durable).toEqual([])
      appendMany(open, 3, 1, 8)
    }
    open.run()
    expect(durable).toEqual([3 * 88, 4 * 88])
  })

  test('writes a group that lies in one stretch with one write and one sync', () => {
    const fileSystem = new MemorySyncFileSystem()
    const open = openTestWal(fileSystem)
    const operations: SyncOperation['kind'][] = []
    fileSystem.faults = ({ kind }): undefined => void operations.push(kind)
    appendMany(open, 0, 5, 8)
    open.run()
    expect(operations).toEqual(['write', 'dataSync'])
  })

  test('resolves a flush when all that was appended before it is durable', async () => {
    const open = openTestWal(new MemorySyncFileSystem())
    await open.wal.flush()
    appendMany(open, 0, 2, 8)
    let isFlushed = false
    const flushing = open.wal.flush().then(() => (isFlushed = true))
    await Promise.resolve()
    expect(isFlushed).toBe(false)
    open.run()
    await flushing
    expect(open.wal.durableLsn).toBe(176)
  })

  test('takes more than its ring holds, in order, and says when there is room', async () => {
    const fileSystem = new MemorySyncFileSystem()
    const open = openTestWal(fileSystem)
    const count = 40
    for (let index = 0; index < count; index++)
      appendPayload(open.wal, index, testPayload(index, 500))
    const room = open.wal.backpressure
    expect(room).not.toBeNull()
    open.run()
    await room
    expect(open.wal.backpressure).toBeNull()
    expect(scanOffsets(fileSystem)).toEqual(Array.from({ length: count }, (_, index) => index))
  })

  test('takes frames larger than its ring, between small ones', () => {
    const fileSystem = new MemorySyncFileSystem()
    const open = openTestWal(fileSystem)
    const lengths = [10, SMALL_RING_BYTES * 5 + 3, 20, SMALL_RING_BYTES / 2, 30]
    for (const [index, length] of lengths.entries())
      appendPayload(open.wal, index, testPayload(index, length))
    open.run()
    const frames: ReadFrame[] = []
    readTestWal(fileSystem, frames)
    expect(frames.map(({ payload }) => payload)).toEqual(
      lengths.map((length, index) => testPayload(index, length)),
    )
  })

  test('refuses what is too large, and everything after it was closed', async () => {
    const open = openTestWal(new MemorySyncFileSystem())
    expect(() => open.wal.append(appendFields(0), APPEND_BYTES_MAX + 1, () => {})).toThrow(
      expect.objectContaining({ code: 'append_too_large' }),
    )
    expect(open.wal.appendedLsn).toBe(0)
    await closeTestWal(open)
    expect(() => appendPayload(open.wal, 0, new Uint8Array(1))).toThrow(
      expect.objectContaining({ code: 'engine_closed' }),
    )
    await open.wal.close()
  })

  test('adds nothing when the payload cannot be written', () => {
    const open = openTestWal(new MemorySyncFileSystem())
    const fill = (): never => {
      throw new RangeError('no')
    }
    expect(() => open.wal.append(appendFields(0), 8, fill)).toThrow(RangeError)
    expect(appendPayload(open.wal, 0, new Uint8Array(8))).toBe(88)
    open.run()
    expect(open.wal.durableLsn).toBe(88)
  })

  test('ends with a seal that proves every frame durable', async () => {
    const fileSystem = new MemorySyncFileSystem()
    const open = openTestWal(fileSystem)
    appendMany(open, 0, 2, 8)
    await closeTestWal(open)
    const frames: ReadFrame[] = []
    const result = readTestWal(fileSystem, frames)
    expect(frames.at(-1)?.frame).toMatchObject({ kind: 'seal', lsn: 176, durableLsn: 176 })
    expect(result).toMatchObject({ durableLsn: 176, endLsn: 256 })
  })
})

describe('WAL files', () => {
  test('follow each other without a gap, grow, and leave no frame across two', () => {
    const fileSystem = new MemorySyncFileSystem()
    const open = openTestWal(fileSystem)
    const ends = appendMany(open, 0, 60, 200)
    open.run()
    const frames: ReadFrame[] = []
    const result = readTestWal(fileSystem, frames)
    expect(offsets(frames)).toEqual(Array.from({ length: 60 }, (_, index) => index))
    expect(result.files.length).toBeGreaterThan(3)
    for (const start of result.files.slice(1)) expect(ends).toContain(start)
  })

  test('are durable to their end, and the next one durable by name, before a frame goes into that', () => {
    const fileSystem = new MemorySyncFileSystem()
    const open = openTestWal(fileSystem)
    appendMany(open, 0, 3, 200)
    open.run()
    const operations: string[] = []
    fileSystem.faults = ({ kind, path }): undefined =>
      void operations.push(`${kind} ${path.replace(/^wal\/0*(?=\d)/, '')}`)
    appendMany(open, 3, 1, 200)
    open.run()
    expect(operations).toEqual([
      'open 840.wal~0.tmp',
      'write 840.wal~0.tmp',
      'write 840.wal~0.tmp',
      'sync 840.wal~0.tmp',
      'rename 840.wal~0.tmp',
      'syncDirectory wal',
      'open 0.wal',
      'write 0.wal',
      'dataSync 0.wal',
      'write 840.wal~0.tmp',
      'dataSync 840.wal~0.tmp',
    ])
  })

  test('are given up when all in them is released, and recycled', () => {
    const fileSystem = new MemorySyncFileSystem()
    const open = openTestWal(fileSystem)
    appendMany(open, 0, 200, 200)
    open.run()
    const before = readTestWal(fileSystem).files
    open.wal.release(open.wal.durableLsn)
    open.run()
    expect(fileSystem.list('wal').filter((name) => name.endsWith('.wal')).length).toBe(1)
    expect(fileSystem.list('wal').filter((name) => name.endsWith('.tmp')).length).toBe(
      WAL_SPARE_FILES_MAX,
    )
    let created = 0
    fileSystem.faults = ({ kind, path }): undefined => {
      if (
        kind === 'open' &&
        path.endsWith('.tmp') &&
        !fileSystem.list('wal').includes(path.slice(4))
      )
        created++
    }
    const fromLsn = before.at(-1) ?? 0
    appendMany(open, 200, 60, 200)
    open.run()
    expect(created).toBe(0)
    expect(scanOffsets(fileSystem, fromLsn).slice(-60)).toEqual(
      Array.from({ length: 60 }, (_, index) => 200 + index),
    )
  })

  test('that are recycled never give their old frames back', () => {
    const fileSystem = new MemorySyncFileSystem()
    const open = openTestWal(fileSystem)
    let fromLsn = 0
    for (let round = 0; round < 30; round++) {
      const ends = appendMany(open, round * 40, 40, 200)
      open.run()
      fromLsn = ends[36] ?? 0
      open.wal.release(fromLsn)
      open.run()
      // Any moment might be the last: what is read is what is above the release, and nothing that was there before.
      expect(scanOffsets(fileSystem, fromLsn)).toEqual(
        [37, 38, 39].map((index) => round * 40 + index),
      )
    }
  })

  test('of an earlier run that nobody needs are removed, and unfinished ones too', async () => {
    const fileSystem = new MemorySyncFileSystem()
    const first = openTestWal(fileSystem)
    const ends = appendMany(first, 0, 60, 200)
    await closeTestWal(first)
    fileSystem.open('wal/00000000000000000099.wal~0.tmp', 'create').close()
    const fromLsn = ends[50] ?? 0
    openTestWal(fileSystem, { epoch: 2, fromLsn })
    const names = fileSystem.list('wal')
    expect(names.some((name) => name.endsWith('.tmp'))).toBe(false)
    expect(Number(names[0]?.slice(0, 20))).toBeLessThanOrEqual(fromLsn)
    expect(Number(names[1]?.slice(0, 20))).toBeGreaterThan(fromLsn)
  })
})

describe('a failing disk', () => {
  const failures = [
    ['a failed sync', 'dataSync', EIO, 'disk_failed'],
    ['a failed write', 'write', EIO, 'disk_failed'],
    ['a full disk', 'write', ENOSPC, 'disk_full'],
  ] as const

  test.each(failures)(
    '%s ends the WAL: nothing after it is acknowledged',
    async (_, kind, error, code) => {
      const fileSystem = new MemorySyncFileSystem()
      const open = openTestWal(fileSystem)
      const durable: number[] = []
      const failed: StratalogError[] = []
      open.wal.onDurable((lsn) => durable.push(lsn))
      open.wal.onFailure((failure) => failed.push(failure))
      appendMany(open, 0, 1, 8)
      open.run()
      fileSystem.faults = (operation): undefined => {
        if (operation.kind === kind) throw error(operation.path)
      }
      appendMany(open, 1, 1, 8)
      const flushing = open.wal.flush()
      open.run()
      await expect(flushing).rejects.toMatchObject({ code })
      fileSystem.faults = (): undefined => undefined
      expect(() => appendPayload(open.wal, 2, new Uint8Array(8))).toThrow(
        expect.objectContaining({ code }),
      )
      await expect(open.wal.flush()).rejects.toMatchObject({ code })
      open.run()
      await open.wal.close()
      expect(durable).toEqual([88])
      expect(failed.map((failure) => failure.code)).toEqual([code])
      expect(failed[0]?.details['errno']).toBe(code === 'disk_full' ? 'ENOSPC' : 'EIO')
    },
  )

  test('a failed sync is not tried again', () => {
    const fileSystem = new MemorySyncFileSystem()
    const open = openTestWal(fileSystem)
    let syncs = 0
    fileSystem.faults = ({ kind, path }): undefined => {
      if (kind !== 'dataSync') return
      syncs++
      throw EIO(path)
    }
    appendMany(open, 0, 1, 8)
    open.run()
    open.run()
    expect(syncs).toBe(1)
  })

  test('short writes are continued', () => {
    const fileSystem = new MemorySyncFileSystem()
    let writes = 0
    fileSystem.faults = ({ kind, length }): number | undefined =>
      kind === 'write' && writes++ % 3 !== 0 ? Math.ceil(length / 3) : undefined
    const open = openTestWal(fileSystem)
    appendMany(open, 0, 50, 300)
    open.run()
    expect(scanOffsets(fileSystem)).toEqual(Array.from({ length: 50 }, (_, index) => index))
  })

  test('a write that makes no progress fails instead of counting as done', () => {
    const fileSystem = new MemorySyncFileSystem()
    const open = openTestWal(fileSystem)
    fileSystem.faults = ({ kind }): number | undefined => (kind === 'write' ? 0 : undefined)
    appendMany(open, 0, 1, 8)
    open.run()
    expect(open.wal.failure).toMatchObject({ code: 'disk_failed' })
    expect(open.wal.durableLsn).toBe(0)
  })

  test('a disk too full for zeros ahead still takes the frames that fit', () => {
    const fileSystem = new MemorySyncFileSystem()
    const open = openTestWal(fileSystem)
    fileSystem.faults = ({ kind, path, position, length }): undefined => {
      if (kind === 'write' && position + length > 700) throw ENOSPC(path)
    }
    appendMany(open, 0, 2, 200)
    open.run()
    expect(open.wal.durableLsn).toBe(560)
    appendMany(open, 2, 1, 200)
    open.run()
    expect(open.wal.failure).toMatchObject({ code: 'disk_full' })
  })

  test('of a write that is cut short, whole frames are acknowledged and the rest is gone, wherever it ends', async () => {
    const bytes = walFrameBytes(13)
    for (let room = 0; room <= 3 * bytes; room += 4) {
      const fileSystem = new MemorySyncFileSystem()
      const open = openTestWal(fileSystem)
      // The last frame ends in zeros where zeros lie already: what is missing of it would not be missed.
      for (const index of [0, 1, 2]) appendPayload(open.wal, index, new Uint8Array(13))
      fileSystem.faults = ({ kind, path, position, length }): number | undefined => {
        if (kind !== 'write') return undefined
        const left = WAL_FILE_HEADER_BYTES + room - position
        if (left <= 0) throw ENOSPC(path)
        return Math.min(left, length)
      }
      open.run()
      const whole = Math.floor(room / bytes)
      expect(open.wal.failure?.details['isUndone'] ?? true, `room for ${room}`).toBe(true)
      expect(open.wal.durableLsn).toBe(whole * bytes)
      fileSystem.faults = (): undefined => undefined
      expect(scanOffsets(fileSystem)).toEqual([0, 1, 2].slice(0, whole))
      fileSystem.crash()
      expect(scanOffsets(fileSystem)).toEqual([0, 1, 2].slice(0, whole))
    }
  })

  test('a sync that fails for want of space counts as a failed sync', () => {
    const fileSystem = new MemorySyncFileSystem()
    const open = openTestWal(fileSystem)
    fileSystem.faults = ({ kind, path }): undefined => {
      if (kind === 'dataSync') throw ENOSPC(path)
    }
    appendMany(open, 0, 1, 8)
    open.run()
    expect(open.wal.failure).toMatchObject({ code: 'disk_failed' })
  })

  test('a writer that is given up tells nothing more, and then how far it came', async () => {
    const open = openTestWal(new MemorySyncFileSystem())
    const [durable, failures]: [number[], StratalogError[]] = [[], []]
    open.wal.onDurable((lsn) => durable.push(lsn))
    open.wal.onFailure((failure) => failures.push(failure))
    appendMany(open, 0, 2, 8)
    const failure = EIO('elsewhere')
    open.wal.abandon(failure)
    expect(() => appendMany(open, 2, 1, 8)).toThrow('EIO')
    open.run()
    await Promise.resolve()
    expect([durable, failures, open.wal.durableLsn]).toEqual([[], [failure], 176])
    await open.wal.close()
  })

  test('those who wait for room are let go, to meet the failure', async () => {
    const fileSystem = new MemorySyncFileSystem()
    const open = openTestWal(fileSystem)
    for (let index = 0; index < 40; index++) appendPayload(open.wal, index, testPayload(index, 500))
    const room = open.wal.backpressure
    fileSystem.faults = ({ kind, path }): undefined => {
      if (kind === 'dataSync') throw EIO(path)
    }
    open.run()
    await room
    expect(() => appendPayload(open.wal, 0, new Uint8Array(8))).toThrow(
      expect.objectContaining({ code: 'disk_failed' }),
    )
  })
})
