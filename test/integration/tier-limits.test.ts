/** How many partitions move at the same time, in an engine with its own disk. */
import { expect, test } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { storageOf } from '../../src/engine/system-storage.ts'
import { Stratalog } from '../../src/index.ts'
import type { FileSystem } from '../../src/storage/file-system.ts'
import { NodeFileSystem } from '../../src/storage/node-file-system.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const LOGS = 9

/** Counts who is inside, and lets nobody out before `limit` have been, and others had the time to come. */
class Room {
  readonly #isFull = Promise.withResolvers<void>()
  readonly #limit: number
  #inside = 0
  most = 0
  /** Until then everybody passes. */
  isWatched = false

  constructor(limit: number) {
    this.#limit = limit
  }

  async enter(): Promise<void> {
    if (!this.isWatched) return
    this.most = Math.max(this.most, ++this.#inside)
    if (this.most >= this.#limit) this.#isFull.resolve()
    await this.#isFull.promise
    for (let turn = 0; turn < 50; turn++) await systemClock.yield()
  }

  leave(): void {
    if (this.isWatched) this.#inside--
  }
}

/** Files of segments pass through a room: as they are written, and as they are read to be uploaded. */
function watched(writing: Room, reading: Room): FileSystem {
  const fileSystem: FileSystem = new NodeFileSystem()
  const [create, read] = [fileSystem.create.bind(fileSystem), fileSystem.read.bind(fileSystem)]
  fileSystem.create = async (path) => {
    const file = await create(path)
    if (!path.includes('/tmp/')) return file
    await writing.enter()
    const close = file.close.bind(file)
    file.close = () => {
      writing.leave()
      return close()
    }
    return file
  }
  fileSystem.read = async (path) => {
    if (!path.includes('/segments/')) return read(path)
    await reading.enter()
    try {
      return await read(path)
    } finally {
      reading.leave()
    }
  }
  return fileSystem
}

test.each([
  [1, 3],
  [3, 1],
  [2, 5],
])(
  'are %i that are flushed and %i that are uploaded, never more',
  async (maxFlushes, maxUploads) => {
    const root = await temporaryDirectory()
    const [writing, reading] = [new Room(maxFlushes), new Room(maxUploads)]
    const storage = { ...storageOf({ storage: null }), fileSystem: watched(writing, reading) }
    const options = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
    await using db = await Stratalog.open({ ...options, maxFlushes, maxUploads }, { storage })
    await db.tier.pause()
    // Too big to share a file.
    const text = Array.from({ length: 40_000 }, (_, n) => Math.sin(n)).join(' ')
    for (let count = 0; count < LOGS; count++)
      await (await db.createLog(`log-${count}`)).append([{ text }])
    writing.isWatched = true
    reading.isWatched = true
    expect(await db.tier.now({ to: 'object' })).toMatchObject({ pending: 0, failed: [] })
    expect([writing.most, reading.most]).toEqual([maxFlushes, maxUploads])
  },
)
