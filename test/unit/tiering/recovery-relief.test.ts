import { describe, expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import { MemoryLogger } from '../../../src/base/logger.ts'
import { noMetrics } from '../../../src/base/metrics.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import type { StoragePolicy } from '../../../src/format/manifest.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { manifestFilesInDirectory } from '../../../src/log/manifest-files.ts'
import { ManifestStore } from '../../../src/log/manifest-store.ts'
import { Recovery } from '../../../src/log/recovery.ts'
import { listWalFiles, readWal } from '../../../src/log/wal-scan.ts'
import type { FileSystem } from '../../../src/storage/file-system.ts'
import { MemoryFileSystem } from '../../../src/storage/memory-file-system.ts'
import { MemorySyncFileSystem } from '../../../src/storage/memory-sync-file-system.ts'
import { DiskBudget } from '../../../src/tiering/disk-budget.ts'
import { RecoveryRelief } from '../../../src/tiering/recovery-relief.ts'
import { inlineEncoder } from '../../../src/tiering/segment-encoder.ts'
import { expectError } from '../../support/expect-error.ts'
import {
  Surroundings,
  appendRows,
  liveLog,
  recoverLog,
  visibleRows,
} from '../../support/live-logs.ts'
import { HYBRID_POLICY, writer } from '../../support/manifests.ts'
import { ENGINE_ID, WAL_DIRECTORY } from '../../support/wal.ts'

const DATA_DIR = '/data'
const APPENDS = 60
const ROWS = 10
const MAX_BYTES = 64 * 1024
const APPEND_BYTES = ROWS * 1_000

/** A WAL of many times the budget, as a crash left it: whole groups, each proven by the next. */
async function longWal(appends = APPENDS): Promise<MemorySyncFileSystem> {
  const walFiles = new MemorySyncFileSystem()
  const { log, testWal } = recoverLog(walFiles, { definition: { partitions: 2 } })
  for (let append = 0; append < appends; append++) {
    const rows = Array.from({ length: ROWS }, (_, row) => ({
      n: append * ROWS + row,
      text: `${append}`.padEnd(900, `${row}`),
    }))
    const done = appendRows(log, rows, append % 2)
    testWal.run()
    await done
  }
  return walFiles
}

/** Calls that change the directory, counted; the one of that number and all after it fail, as after a kill. */
function killedAt(files: MemoryFileSystem, kill: { at: number; calls: number }): FileSystem {
  const step = async <T>(call: () => Promise<T>): Promise<T> => {
    if (kill.calls++ >= kill.at) throw new StratalogError('internal', 'killed')
    return call()
  }
  return {
    open: (path) => files.open(path),
    read: (path) => files.read(path),
    list: (path) => files.list(path),
    stat: (path) => files.stat(path),
    removeDirectory: (path) => files.removeDirectory(path),
    makeDirectory: (path) => step(() => files.makeDirectory(path)),
    create: (path) =>
      step(async () => {
        const file = await files.create(path)
        return {
          write: (bytes) => step(() => file.write(bytes)),
          sync: () => step(() => file.sync()),
          close: () => file.close(),
        }
      }),
    putIfAbsent: (path, bytes) => step(() => files.putIfAbsent(path, bytes)),
    rename: (from, to) => step(() => files.rename(from, to)),
    remove: (path) => step(() => files.remove(path)),
    syncDirectory: (path) => step(() => files.syncDirectory(path)),
  }
}

interface Recovered {
  readonly log: LiveLog
  readonly peakBytes: number
  readonly logger: MemoryLogger
}

/** Recovery as an engine does it, over a directory that may die under it. */
async function recover(
  walFiles: MemorySyncFileSystem,
  fileSystem: FileSystem,
  life: number,
  policy: StoragePolicy = HYBRID_POLICY,
  maxBytes = MAX_BYTES,
): Promise<Recovered> {
  const [clock, logger] = [new VirtualClock(), new MemoryLogger()]
  const manifest = await ManifestStore.open(manifestFilesInDirectory(fileSystem, DATA_DIR), {
    clock,
  })
  await manifest.claim(writer(`life-${life}`), ENGINE_ID)
  const around = new Surroundings()
  const known = manifest.state.logs.get(1)
  const log = liveLog(around, {
    policy,
    definition: { partitions: 2 },
    schemas: known?.schemas ?? [],
    segments: known?.partitions.map(({ segments }) => segments) ?? [],
  })
  if (known === undefined)
    await manifest.commit([{ kind: 'log-created', log: log.definition, startOffsets: [0, 0] }])
  const relief = new RecoveryRelief(
    {
      engineId: ENGINE_ID,
      clock,
      random: seededRandom(life),
      logger,
      metrics: noMetrics,
      disk: { fileSystem, dataDir: DATA_DIR, manifest },
      archive: null,
      diskBudget: new DiskBudget({ maxBytes: null, watermark: 0.9 }),
      pins: around.pins,
      wal: null,
      encoder: inlineEncoder(clock),
      logs: () => [log],
    },
    () => ({ usedBytes: around.pool.usedBytes, maxBytes, watermark: 0.9 }),
  )
  const recovery = new Recovery(new Map([[log.id, log]]), new Set(), around.acks)
  let peakBytes = 0
  let durableLsn = listWalFiles(walFiles, WAL_DIRECTORY).at(-1) ?? 0
  const from = { engineId: ENGINE_ID, fromLsn: 0 }
  for (const { frame, payload } of readWal(walFiles, WAL_DIRECTORY, from)) {
    recovery.apply(frame, payload)
    durableLsn = Math.max(durableLsn, frame.durableLsn)
    around.acks.settle(durableLsn)
    if (relief.isNeeded) await relief.run()
    peakBytes = Math.max(peakBytes, around.pool.usedBytes)
  }
  around.acks.settle(Infinity)
  return { log, peakBytes, logger }
}

async function newDirectory(): Promise<MemoryFileSystem> {
  const files = new MemoryFileSystem({ random: seededRandom(5) })
  for (const directory of ['manifest', 'tmp', 'segments'])
    await files.makeDirectory(`${DATA_DIR}/${directory}`)
  return files
}

/** Every record is in a segment that is there, or in RAM; each once. */
async function check(
  { log }: Recovered,
  files: MemoryFileSystem,
  appends = APPENDS,
): Promise<void> {
  for (const partition of log.partitions) {
    let next = 0
    for (const { baseOffset, endOffset, disk, length } of partition.segments) {
      expect(baseOffset).toBe(next)
      expect((await files.stat(`${DATA_DIR}/${disk?.object ?? ''}`))?.length).toBe(length)
      next = endOffset
    }
    expect(partition.hotStart).toBeLessThanOrEqual(next)
    const inRam = visibleRows(log, partition.partition).filter(
      (row) => Number(row['_offset']) >= next,
    )
    for (const row of inRam) {
      const append = 2 * Math.floor(next / ROWS) + partition.partition
      expect([row['_offset'], row['n']]).toEqual([next, append * ROWS + (next % ROWS)])
      next++
    }
    expect(next).toBe((appends / 2) * ROWS)
  }
}

describe('recovery with less memory than the WAL holds', () => {
  test('stays within the budget, and everything is in a segment or in RAM', async () => {
    const files = await newDirectory()
    const recovered = await recover(await longWal(), files, 1)
    expect(APPENDS * APPEND_BYTES).toBeGreaterThan(9 * MAX_BYTES)
    expect(recovered.peakBytes).toBeLessThan(MAX_BYTES + 2 * APPEND_BYTES)
    expect(recovered.log.partition(0).segments.length).toBeGreaterThan(3)
    await check(recovered, files)
  })

  test('that is killed at any of its steps, and begun again, comes to the same', async () => {
    const appends = 16
    const walFiles = await longWal(appends)
    let kills = 0
    for (let at = 0; ; at++) {
      const files = await newDirectory()
      const kill = { at, calls: 0 }
      const outcome = recover(walFiles, killedAt(files, kill), 1)
      if (await outcome.then(() => true).catch(() => false)) break
      kills++
      files.crash()
      // The second one is killed as well, further on.
      const again = { at: at + 7, calls: 0 }
      await recover(walFiles, killedAt(files, again), 2).catch(() => {})
      files.crash()
      await check(await recover(walFiles, files, 3), files, appends)
    }
    expect(kills).toBeGreaterThan(30)
  })

  test('never flushes what is not proven durable, however short memory is', async () => {
    const files = await newDirectory()
    const { log } = await recover(await longWal(), files, 1, HYBRID_POLICY, 1_024)
    // The last append is the group that no later frame proves.
    const ends = log.partitions.map(({ segments }) => segments.at(-1)?.endOffset)
    expect(ends).toEqual([(APPENDS / 2) * ROWS, (APPENDS / 2 - 1) * ROWS])
  })

  test('says so where the disk has no room, instead of taking more', async () => {
    const files = await newDirectory()
    const full = killedAt(files, { at: Infinity, calls: 0 })
    const create = async (): Promise<never> => {
      throw new StratalogError('disk_full', 'ENOSPC')
    }
    await expectError(recover(await longWal(), { ...full, create }, 1), 'disk_full')
  })

  test('keeps in RAM what has no disk to go to while its archive is away', async () => {
    const files = await newDirectory()
    const policy = { ...HYBRID_POLICY, localDisk: false }
    const recovered = await recover(await longWal(), files, 1, policy)
    expect(recovered.peakBytes).toBeGreaterThan(APPENDS * APPEND_BYTES * 0.8)
    await check(recovered, files)
  })
})
