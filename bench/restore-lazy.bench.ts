/** From an archive of many small segments to the answer of the first query, on an empty directory. */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { systemClock } from '../src/base/clock.ts'
import { encodeIdentity } from '../src/format/identity.ts'
import type { ManifestEdit, StoragePolicy } from '../src/format/manifest.ts'
import { IDENTITY_FILE, segmentKey } from '../src/format/paths.ts'
import { Stratalog, restoreArchive } from '../src/index.ts'
import { manifestFilesInDirectory } from '../src/log/manifest-files.ts'
import { ManifestStore } from '../src/log/manifest-store.ts'
import { NodeFileSystem } from '../src/storage/node-file-system.ts'
import { segmentEntry } from '../src/tiering/encode.ts'
import { sampleBatch, sampleSchema, writeSegment } from '../test/support/sample-batches.ts'
import {
  constant,
  secondsOf,
  type Benchmark,
  type BenchmarkCase,
  type Contender,
  type Scale,
} from './harness.ts'
import { makeTempDirectory } from './temp-directory.ts'

const SIZES: Readonly<Record<Scale, readonly number[]>> = {
  full: [1_000, 10_000, 100_000],
  quick: [1_000, 10_000],
  tiny: [300],
}
const FLOOR_MS = 3_000
const GOAL_MS = 1_000
const SEGMENT_RECORDS = 10
const SEGMENTS_PER_COMMIT = 5_000
/** Records of the newest segments are asked for. */
const ASKED_RECORDS = 25
const ENGINE_ID = 'bench-engine'

export const restoreLazy: Benchmark = {
  name: 'restore-lazy',
  question: 'How long from an empty directory to the first answer, by how much the archive holds?',
  async *cases(scale) {
    for (const size of SIZES[scale]) {
      await using directory = await makeTempDirectory()
      const archive = join(directory.path, 'archive')
      await makeArchive(archive, size)
      yield restoreCase(directory.path, archive, size)
    }
  },
}

function restoreCase(root: string, archive: string, size: number): BenchmarkCase {
  const limit = constant(`${FLOOR_MS} ms`, FLOOR_MS)
  const records = size * SEGMENT_RECORDS
  const from = records - ASKED_RECORDS
  const checksum = String((ASKED_RECORDS * (from + records - 1)) / 2)
  return {
    name: `restore, open, first query, ${size.toLocaleString('en-US')} segments`,
    unit: 'ms',
    higherIsBetter: false,
    targets: { [limit.name]: { floor: 1, goal: FLOOR_MS / GOAL_MS } },
    checksum,
    ours: restoring(root, `file://${archive}`, from),
    peers: [],
    limit,
    missing: [],
  }
}

function restoring(root: string, archive: string, from: number): Contender {
  let runs = 0
  return {
    name: 'ours',
    async measure() {
      const dataDir = join(root, `restored-${runs++}`)
      let answer: unknown = null
      let db: Stratalog | null = null
      const seconds = await secondsOf(async () => {
        await restoreArchive({ archive, dataDir })
        db = await Stratalog.open({ dataDir })
        const sql = 'SELECT sum(n)::BIGINT AS sum FROM events WHERE _offset >= ?'
        answer = (await (await db.query(sql, [from])).toJson()).rows[0]?.[0]
      })
      await (db as Stratalog | null)?.close()
      return { value: seconds * 1_000, checksum: String(answer) }
    },
  }
}

/** Segments of a few records each, with the manifest that an engine would have written of them. */
async function makeArchive(archive: string, segments: number): Promise<void> {
  const schema = sampleSchema({ _time: 'timestamp[ms]', n: 'int64' })
  const files = manifestFilesInDirectory(new NodeFileSystem(), archive)
  const manifest = await ManifestStore.open(files, { clock: systemClock })
  const writer = { id: 'writer', pid: 1, host: 'host', since: 0 }
  const log = {
    id: 1,
    name: 'events',
    partitions: 1,
    timeColumn: null,
    keyColumn: null,
    policy: POLICY,
    createdAt: 0,
  }
  await manifest.claim(writer, ENGINE_ID, [
    { kind: 'log-created', log, startOffsets: [0] },
    { kind: 'schema-added', logId: 1, schema },
  ])
  const header = {
    engineId: ENGINE_ID,
    logId: 1,
    logName: 'events',
    partition: 0,
    timeColumn: '_time',
    keyColumn: null,
  }
  const edits: ManifestEdit[] = []
  for (let index = 0; index < segments; index++) {
    const baseOffset = index * SEGMENT_RECORDS
    const rows = Array.from({ length: SEGMENT_RECORDS }, (_, row) => ({
      _time: new Date(1_700_000_000_000 + baseOffset + row),
      n: BigInt(baseOffset + row),
    }))
    const { bytes, facts, length, sha256 } = writeSegment(
      [sampleBatch(schema, rows, { baseOffset })],
      header,
    )
    const key = segmentKey({ logId: 1, partition: 0, baseOffset, sha256, format: 'arrow' })
    if (index === 0) await mkdir(dirname(join(archive, key)), { recursive: true })
    await writeFile(join(archive, key), bytes)
    const location = { object: key, position: 0, length }
    const segment = segmentEntry({ facts, length, sha256 }, 'object', location)
    edits.push({ kind: 'segment-added', logId: 1, partition: 0, segment })
    if (edits.length === SEGMENTS_PER_COMMIT || index === segments - 1)
      await manifest.commit(edits.splice(0))
  }
  await manifest.rebase()
  await manifest.close()
  const identity = encodeIdentity({ kind: 'archive', engineId: ENGINE_ID })
  await writeFile(join(archive, IDENTITY_FILE), identity)
}

const POLICY: StoragePolicy = {
  mode: 'hybrid',
  memoryTtl: 3_600_000,
  diskAfter: 300_000,
  archiveAfter: 900_000,
  diskTtl: 86_400_000,
  localDisk: true,
  retention: null,
  retentionBytes: null,
  ack: 'disk',
  wal: true,
  memoryFirst: true,
  diskFallback: true,
  ttl: null,
  priority: 0,
  maxMemoryBytes: null,
  evictionPolicy: 'fifo',
  evictionWatermark: 0.9,
  segmentFormat: 'arrow',
  parquetAfter: null,
  keep: 'all',
}
