import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../../src/base/random.ts'
import { type WalScanResult, readWal, scanWal } from '../../../src/log/wal-scan.ts'
import { MemorySyncFileSystem } from '../../../src/storage/memory-sync-file-system.ts'
import {
  ENGINE_ID,
  type ReadFrame,
  SMALL_SIZES,
  appendPayload,
  closeTestWal,
  openTestWal,
  readTestWal,
  testPayload,
} from '../../support/wal.ts'

const HEADER = 64
/** What each frame of 200 bytes takes. */
const FRAME = 280
const FIRST_FILE = 'wal/00000000000000000000.wal'
/** One file that takes it all. */
const ONE_FILE = { ...SMALL_SIZES, fileBytesMin: 8192 }

/** A WAL of frames in groups: a sync after each group, so the first frame of a later group proves the earlier ones. */
function written(groups: readonly number[], sizes = ONE_FILE): MemorySyncFileSystem {
  const fileSystem = new MemorySyncFileSystem()
  const open = openTestWal(fileSystem, { sizes })
  let next = 0
  for (const count of groups) {
    for (let index = 0; index < count; index++, next++)
      appendPayload(open.wal, next, testPayload(next, 200))
    open.run()
  }
  fileSystem.kill()
  return fileSystem
}

function damage(
  fileSystem: MemorySyncFileSystem,
  position: number,
  length = 1,
  path = FIRST_FILE,
): void {
  const bytes = fileSystem.bytes(path)
  for (let at = position; at < position + length; at++) bytes[at] = ~(bytes[at] ?? 0)
  fileSystem.replace(path, bytes)
}

function scan(
  fileSystem: MemorySyncFileSystem,
  fromLsn = 0,
): { result: WalScanResult; offsets: number[] } {
  const frames: ReadFrame[] = []
  const result = readTestWal(fileSystem, frames, fromLsn)
  return { result, offsets: frames.map(({ frame }) => frame.baseOffset) }
}

describe('a WAL that the manifest knows to have come further', () => {
  const reach = (fileSystem: MemorySyncFileSystem, reachedLsn: number | null): WalScanResult => {
    const frames = readWal(fileSystem, 'wal', { engineId: ENGINE_ID, fromLsn: 0, reachedLsn })
    for (;;) {
      const next = frames.next()
      if (next.done === true) return next.value
    }
  }

  test('is damaged, where nothing in it shows that', () => {
    const fileSystem = written([1, 1, 1, 1])
    expect(reach(fileSystem, 4 * FRAME)).toMatchObject({ endLsn: 4 * FRAME })
    // The last frame is gone to the byte, as in a copy that ended early.
    damage(fileSystem, HEADER + 3 * FRAME, FRAME)
    expect(reach(fileSystem, 3 * FRAME)).toMatchObject({ endLsn: 3 * FRAME })
    expect(() => reach(fileSystem, 4 * FRAME)).toThrow(
      expect.objectContaining({
        code: 'wal_corrupt',
        details: expect.objectContaining({
          damage: 'stale',
          position: HEADER + 3 * FRAME,
        }) as unknown,
      }),
    )
  })

  test('is missed when it is gone, and not where there never was one', () => {
    const fileSystem = new MemorySyncFileSystem()
    expect(reach(fileSystem, null)).toMatchObject({ endLsn: 0, files: [] })
    expect(() => reach(fileSystem, 0)).toThrow(
      expect.objectContaining({
        code: 'wal_corrupt',
        details: expect.objectContaining({ damage: 'missing' }) as unknown,
      }),
    )
  })
})

describe('scanning a WAL', () => {
  test('finds nothing where there is nothing', () => {
    expect(scan(new MemorySyncFileSystem()).result).toEqual({
      fromLsn: 0,
      durableLsn: 0,
      endLsn: 0,
      torn: null,
      files: [],
    })
  })

  test('starts at any frame and reads to the end', () => {
    const fileSystem = written([1, 1, 1, 1, 1, 1, 1, 1], SMALL_SIZES)
    for (let first = 0; first < 8; first++) {
      const { result, offsets } = scan(fileSystem, first * FRAME)
      expect(offsets).toEqual(Array.from({ length: 8 - first }, (_, index) => first + index))
      expect(result).toMatchObject({ endLsn: 8 * FRAME, torn: null })
    }
    expect(scan(fileSystem, 8 * FRAME)).toMatchObject({
      offsets: [],
      result: { endLsn: 8 * FRAME },
    })
  })

  test('says how far the WAL proves itself durable', () => {
    expect(scan(written([2, 3])).result).toMatchObject({ durableLsn: 2 * FRAME, endLsn: 5 * FRAME })
    expect(scan(written([5])).result).toMatchObject({ durableLsn: 0, endLsn: 5 * FRAME })
  })

  test('refuses a start inside a frame and a start beyond the end', () => {
    const fileSystem = written([1, 1])
    expect(() => scan(fileSystem, 8)).toThrow(expect.objectContaining({ code: 'wal_corrupt' }))
    expect(() => scan(fileSystem, 3 * FRAME)).toThrow(/recovery starts at LSN 840/)
    expect(() => scan(new MemorySyncFileSystem(), 8)).toThrow(/files are missing/)
  })

  test('gives payloads that can be viewed in place', () => {
    const fileSystem = written([3])
    readTestWal(fileSystem, [], 0)
    for (const { payload } of openTestWal(fileSystem, { epoch: 2 }).frames)
      expect(payload.byteOffset % 8).toBe(0)
  })

  test('refuses a directory of another engine', () => {
    const fileSystem = written([1])
    const bytes = fileSystem.bytes(FIRST_FILE)
    bytes[20] = (bytes[20] ?? 0) ^ 1
    fileSystem.replace(FIRST_FILE, bytes)
    expect(() => scan(fileSystem)).toThrow(expect.objectContaining({ code: 'wal_corrupt' }))
  })
})

describe('a damaged end of the newest file', () => {
  test('is a torn tail when nothing behind it says otherwise', () => {
    const fileSystem = written([2, 2])
    damage(fileSystem, HEADER + 3 * FRAME + 100)
    expect(scan(fileSystem)).toMatchObject({
      offsets: [0, 1, 2],
      result: {
        endLsn: 3 * FRAME,
        torn: { file: FIRST_FILE, position: HEADER + 3 * FRAME, bytes: FRAME },
      },
    })
  })

  test('is a torn tail when later frames of the same group survived', () => {
    const fileSystem = written([1, 4])
    damage(fileSystem, HEADER + 2 * FRAME + 10)
    expect(scan(fileSystem)).toMatchObject({
      offsets: [0, 1],
      result: { torn: { position: HEADER + 2 * FRAME, bytes: 3 * FRAME } },
    })
  })

  test('is corruption when a frame of a later group says that it was durable', () => {
    const fileSystem = written([1, 2, 1])
    damage(fileSystem, HEADER + FRAME + 100)
    expect(() => scan(fileSystem)).toThrow(
      expect.objectContaining({
        code: 'wal_corrupt',
        details: expect.objectContaining({
          file: FIRST_FILE,
          position: HEADER + FRAME,
          lsn: FRAME,
          logId: 7,
          partition: 3,
          from: 1,
          to: 2,
        }) as unknown,
      }),
    )
  })

  test('is corruption when its header is damaged so that the next frame has to be searched for', () => {
    const fileSystem = written([1, 1, 1])
    damage(fileSystem, HEADER + FRAME, 80)
    expect(() => scan(fileSystem)).toThrow(/says that it was durable/)
  })

  test('is corruption after a clean close, whose seal covers every frame', async () => {
    const fileSystem = new MemorySyncFileSystem()
    const open = openTestWal(fileSystem, { sizes: ONE_FILE })
    for (let index = 0; index < 4; index++) appendPayload(open.wal, index, testPayload(index, 200))
    await closeTestWal(open)
    const whole = fileSystem.bytes(FIRST_FILE)
    for (let position = HEADER; position < HEADER + 4 * FRAME; position += 8) {
      fileSystem.replace(FIRST_FILE, whole)
      damage(fileSystem, position)
      expect(() => scan(fileSystem), `byte ${position}`).toThrow(
        expect.objectContaining({ code: 'wal_corrupt' }),
      )
    }
  })

  test('cut anywhere leaves a prefix or is refused, and never gives a frame that was not written', () => {
    const fileSystem = written([1, 2, 2])
    const whole = fileSystem.bytes(FIRST_FILE)
    for (let length = 0; length < whole.length; length += 8) {
      fileSystem.replace(FIRST_FILE, whole.slice(0, length))
      const survivors = Math.min(5, Math.max(0, Math.floor((length - HEADER) / FRAME)))
      if (length < HEADER)
        expect(() => scan(fileSystem)).toThrow(expect.objectContaining({ code: 'wal_corrupt' }))
      else expect(scan(fileSystem).offsets).toEqual([0, 1, 2, 3, 4].slice(0, survivors))
    }
  })

  test('with any bit flipped loses at most what nothing proves durable', () => {
    const fileSystem = written([2, 2])
    const whole = fileSystem.bytes(FIRST_FILE)
    for (let bit = 0; bit < (HEADER + 4 * FRAME) * 8; bit += 3) {
      const flipped = whole.slice()
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      fileSystem.replace(FIRST_FILE, flipped)
      const frame = Math.floor(((bit >> 3) - HEADER) / FRAME)
      if (frame < 2)
        expect(() => scan(fileSystem), `bit ${bit}`).toThrow(
          expect.objectContaining({ code: 'wal_corrupt' }),
        )
      else expect(scan(fileSystem).offsets, `bit ${bit}`).toEqual([0, 1, 2, 3].slice(0, frame))
    }
  })

  test('is not mended by a payload that looks like a frame', () => {
    const fileSystem = new MemorySyncFileSystem()
    const open = openTestWal(fileSystem, { sizes: ONE_FILE })
    appendPayload(open.wal, 0, testPayload(0, 200))
    open.run()
    // The frame before, as an attacker who knows the format would send it.
    appendPayload(open.wal, 1, fileSystem.bytes(FIRST_FILE).slice(HEADER, HEADER + FRAME))
    open.run()
    damage(fileSystem, HEADER + FRAME + 20)
    expect(scan(fileSystem).offsets).toEqual([0])
  })
})

describe('damage before the newest file', () => {
  test('is corruption, wherever it is', () => {
    const fileSystem = written([4, 4], SMALL_SIZES)
    const whole = fileSystem.bytes(FIRST_FILE)
    for (let position = 0; position < HEADER + 3 * FRAME; position += 8) {
      fileSystem.replace(FIRST_FILE, whole)
      damage(fileSystem, position)
      expect(() => scan(fileSystem), `byte ${position}`).toThrow(
        expect.objectContaining({ code: 'wal_corrupt' }),
      )
    }
  })

  test('names what was lost when the frame’s header is whole', () => {
    const fileSystem = written([4, 4], SMALL_SIZES)
    damage(fileSystem, HEADER + FRAME + 100)
    expect(() => scan(fileSystem)).toThrow(
      /byte 344 \(LSN 280\).*It held log 7, partition 3, offsets 1 to 2\./,
    )
  })

  test('below where recovery starts is not looked at', () => {
    const fileSystem = written([4, 4], SMALL_SIZES)
    damage(fileSystem, HEADER + 20)
    expect(scan(fileSystem, 2 * FRAME).offsets).toEqual([2, 3, 4, 5, 6, 7])
  })
})

describe('a reader that takes damaged payloads', () => {
  /** Offsets of the frames that came, in order; of damaged ones as texts. */
  const taking = (fileSystem: MemorySyncFileSystem): { offsets: unknown[]; durableLsn: number } => {
    const offsets: unknown[] = []
    const { durableLsn } = scanWal(fileSystem, 'wal', {
      engineId: ENGINE_ID,
      fromLsn: 0,
      onFrame: ({ baseOffset }) => offsets.push(baseOffset),
      onDamaged: ({ baseOffset }, { code, details }) =>
        offsets.push(`${code} ${baseOffset} at ${String(details['position'])}`),
    })
    return { offsets, durableLsn }
  }

  test('goes on behind each, in the newest file and in one before it', () => {
    const fileSystem = written([1, 1, 1, 1])
    damage(fileSystem, HEADER + FRAME + 100)
    damage(fileSystem, HEADER + 2 * FRAME + 100)
    expect(taking(fileSystem).offsets).toEqual([
      0,
      `wal_corrupt 1 at ${HEADER + FRAME}`,
      `wal_corrupt 2 at ${HEADER + 2 * FRAME}`,
      3,
    ])
    const rolled = written([4, 4], SMALL_SIZES)
    damage(rolled, HEADER + 100)
    expect(taking(rolled).offsets).toEqual([`wal_corrupt 0 at ${HEADER}`, 1, 2, 3, 4, 5, 6, 7])
  })

  test('still takes for a torn tail what nothing proves durable', () => {
    const fileSystem = written([1, 3])
    damage(fileSystem, HEADER + 2 * FRAME + 100)
    expect(taking(fileSystem)).toEqual({ offsets: [0, 1], durableLsn: FRAME })
  })

  test('counts as durable what a frame proves that the reading does not come to', () => {
    const fileSystem = written([1, 1, 1, 1])
    damage(fileSystem, HEADER + FRAME + 100)
    // The header of the third: only the last frame shows that it is no torn tail.
    damage(fileSystem, HEADER + 2 * FRAME, 80)
    expect(() => taking(fileSystem)).toThrow(
      expect.objectContaining({
        details: expect.objectContaining({ position: HEADER + 2 * FRAME }) as unknown,
      }),
    )
  })

  test('never goes on behind a header that is damaged', () => {
    for (let position = HEADER + FRAME; position < HEADER + FRAME + 80; position += 4) {
      const fileSystem = written([1, 1, 1])
      damage(fileSystem, position)
      expect(() => taking(fileSystem), `byte ${position}`).toThrow(
        expect.objectContaining({ code: 'wal_corrupt' }),
      )
    }
  })

  test('starts behind damage that recovery does not need, in the same file', () => {
    const fileSystem = written([1, 1, 1])
    damage(fileSystem, HEADER + 100)
    expect(scan(fileSystem, 3 * FRAME)).toMatchObject({
      offsets: [],
      result: { endLsn: 3 * FRAME },
    })
  })
})

describe('WAL files that are missing, cut or swapped', () => {
  const groups = Array.from({ length: 30 }, () => 1)

  test('are noticed, whichever it is', () => {
    const { files } = scan(written(groups, SMALL_SIZES)).result
    expect(files.length).toBeGreaterThan(3)
    for (const startLsn of files) {
      const fileSystem = written(groups, SMALL_SIZES)
      fileSystem.remove(`wal/${String(startLsn).padStart(20, '0')}.wal`)
      expect(() => scan(fileSystem), `file ${startLsn}`).toThrow(
        expect.objectContaining({ code: 'wal_corrupt' }),
      )
      const shortened = written(groups, SMALL_SIZES)
      if (startLsn === files.at(-1)) continue
      const path = `wal/${String(startLsn).padStart(20, '0')}.wal`
      shortened.replace(path, shortened.bytes(path).slice(0, 200))
      expect(() => scan(shortened), `file ${startLsn}`).toThrow(
        expect.objectContaining({ code: 'wal_corrupt' }),
      )
    }
  })

  test('are noticed when recovery starts in the missing one', () => {
    const fileSystem = written(groups, SMALL_SIZES)
    const last = scan(fileSystem).result.files.at(-1) ?? 0
    fileSystem.remove(`wal/${String(last).padStart(20, '0')}.wal`)
    expect(() => scan(fileSystem, last + FRAME)).toThrow(
      expect.objectContaining({ code: 'wal_corrupt' }),
    )
  })

  test('are noticed when one lies under the name of another', () => {
    const fileSystem = written(groups, SMALL_SIZES)
    const [, second, third] = scan(fileSystem).result.files.map(
      (lsn) => `wal/${String(lsn).padStart(20, '0')}.wal`,
    )
    fileSystem.rename(third ?? '', second ?? '')
    expect(() => scan(fileSystem)).toThrow(expect.objectContaining({ code: 'wal_corrupt' }))
  })
})

describe('continuing a WAL', () => {
  test('cuts a torn tail, and the frames that were cut never come back', () => {
    const fileSystem = written([1, 4])
    damage(fileSystem, HEADER + 2 * FRAME + 10)
    const second = openTestWal(fileSystem, { epoch: 2 })
    expect(second.recovered.endLsn).toBe(2 * FRAME)
    appendPayload(second.wal, 100, testPayload(100, 8))
    second.run()
    fileSystem.kill()
    expect(scan(fileSystem).offsets).toEqual([0, 1, 100])
    expect(openTestWal(fileSystem, { epoch: 3 }).frames.length).toBe(3)
  })

  test('makes durable what the scan read, though its sync had failed and only the page cache had it', () => {
    const fileSystem = new MemorySyncFileSystem()
    const open = openTestWal(fileSystem)
    appendPayload(open.wal, 0, testPayload(0, 8))
    open.run()
    fileSystem.faults = ({ kind }): undefined => {
      if (kind === 'dataSync') throw new Error('EIO')
    }
    appendPayload(open.wal, 1, testPayload(1, 8))
    expect(() => open.run()).toThrow('EIO')
    fileSystem.faults = (): undefined => undefined
    const second = openTestWal(fileSystem, { epoch: 2 })
    expect(second.frames.map(({ frame }) => frame.baseOffset)).toEqual([0, 1])
    expect(second.wal.durableLsn).toBe(176)
    fileSystem.crash()
    expect(scan(fileSystem).offsets).toEqual([0, 1])
  })

  test('needs an epoch of its own', () => {
    expect(() => openTestWal(written([1]), { epoch: 1 })).toThrow(/epoch above/)
  })

  test('opens again and again to the same state', () => {
    const fileSystem = written([1, 2])
    for (let epoch = 2; epoch < 8; epoch++) {
      const { frames, recovered } = openTestWal(fileSystem, { epoch })
      expect(frames.map(({ frame }) => frame.baseOffset)).toEqual([0, 1, 2])
      expect(recovered.endLsn).toBe(3 * FRAME)
      fileSystem.crash()
    }
  })

  test('does not remove a file before the one after it, left by a process that died, is durable by name', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const fileSystem = new MemorySyncFileSystem({ random: seededRandom(seed) })
      const first = openTestWal(fileSystem)
      const fromLsn = appendPayload(first.wal, 0, testPayload(0, 200))
      first.run()
      let isRenamed = false
      fileSystem.faults = ({ kind }): undefined => {
        if (kind === 'syncDirectory' && isRenamed) throw new Error('killed')
        isRenamed ||= kind === 'rename'
      }
      expect(() => openTestWal(fileSystem, { epoch: 2, fromLsn })).toThrow('killed')
      fileSystem.kill()
      // The third writer finds both files and removes the first; then the power is cut.
      fileSystem.faults = ({ kind, path }): undefined => {
        if (kind === 'open' && path.endsWith('.tmp')) throw new Error('the power is cut')
      }
      expect(() => openTestWal(fileSystem, { epoch: 3, fromLsn })).toThrow('the power is cut')
      fileSystem.faults = (): undefined => undefined
      fileSystem.crash()
      expect(scan(fileSystem, fromLsn).result.endLsn, `seed ${seed}`).toBe(fromLsn)
    }
  })

  test('from a checkpoint at the very end needs no frame at all', () => {
    const fileSystem = written([1, 2])
    const second = openTestWal(fileSystem, { epoch: 2, fromLsn: 3 * FRAME })
    appendPayload(second.wal, 3, testPayload(3, 8))
    second.run()
    expect(scan(fileSystem, 3 * FRAME).offsets).toEqual([3])
  })
})
