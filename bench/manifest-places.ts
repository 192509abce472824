/** Manifests of a given size, made by commits through the real store, and what is counted of them. */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { systemClock } from '../src/base/clock.ts'
import { MANIFEST_COMMITS_PER_BASE } from '../src/format/limits.ts'
import type { ManifestEdit, ManifestState } from '../src/format/manifest.ts'
import { segmentKey, segmentPath } from '../src/format/paths.ts'
import type { SegmentEntry } from '../src/format/segment-entry.ts'
import { type ManifestFiles, manifestFilesInStore } from '../src/log/manifest-files.ts'
import { ManifestStore } from '../src/log/manifest-store.ts'
import { sha256Hex } from '../src/storage/checksum.ts'
import { MemoryObjectStore } from '../src/storage/memory-object-store.ts'

const LOG_ID = 1
const SEGMENT_RECORDS = 1_000
const SEGMENT_MS = 1_000
const SEGMENT_BYTES = 1_048_576
/** Segments that one commit adds while a manifest is made. */
const SEGMENTS_PER_COMMIT = 10_000
const COLUMNS = ['id', 'at', 'price', 'name'] as const

export interface Cost {
  /** Written and read. */
  readonly bytes: number
  readonly operations: number
}

/** A manifest in a store in memory, and the writer of it. */
export interface ManifestPlace {
  readonly objects: MemoryObjectStore
  readonly files: ManifestFiles
  readonly store: ManifestStore
  readonly counted: { bytes: number; operations: number }
}

export async function makeManifest(segments: number): Promise<ManifestPlace> {
  const objects = new MemoryObjectStore()
  const counted = { bytes: 0, operations: 0 }
  const files = countedFiles(manifestFilesInStore(objects), counted)
  const store = await ManifestStore.open(files, { clock: systemClock })
  const writer = { id: 'writer', pid: 1, host: 'host', since: 0 }
  await store.claim(writer, 'engine', logEdits())
  for (let first = 0; first < segments; first += SEGMENTS_PER_COMMIT) {
    const count = Math.min(SEGMENTS_PER_COMMIT, segments - first)
    const entries = Array.from({ length: count }, (_, index) => segmentOf(first + index))
    await store.commit(await Promise.all(entries.map(async (entry) => added(await entry))))
  }
  await store.rebase()
  return { objects, files, store, counted }
}

/** Commits of one new segment each. */
export async function addSegments({ store }: ManifestPlace, commits: number): Promise<void> {
  for (let commit = 0; commit < commits; commit++) {
    const next = segmentOf(Math.floor(endOf(store.state) / SEGMENT_RECORDS))
    await store.commit([added(await next)])
  }
}

/** Commits that drop the oldest segment, and take a new one for it: their number stays. */
export async function pruneSegments({ store }: ManifestPlace, commits: number): Promise<void> {
  for (let commit = 0; commit < commits; commit++) {
    const next = segmentOf(Math.floor(endOf(store.state) / SEGMENT_RECORDS))
    const baseOffset = segmentsOf(store.state)?.at(0)?.baseOffset ?? 0
    const drop = { kind: 'segment-copy-dropped', logId: LOG_ID, partition: 0, baseOffset } as const
    await store.commit([{ ...drop, tier: 'disk' }, { ...drop, tier: 'object' }, added(await next)])
  }
}

/** What each of `commits` commits costs, bases between them included. */
export async function costOf(
  place: ManifestPlace,
  commits: number,
  work: (place: ManifestPlace, commits: number) => Promise<void>,
): Promise<Cost> {
  // Where a measurement begins between two bases is chance; it begins behind one.
  await work(place, MANIFEST_COMMITS_PER_BASE)
  await place.store.rebase()
  Object.assign(place.counted, { bytes: 0, operations: 0 })
  await work(place, commits)
  const { bytes, operations } = place.counted
  return { bytes: bytes / commits, operations: operations / commits }
}

/** What a state holds, to be held against what was committed. */
export function summaryOf(state: ManifestState): string {
  const segments = segmentsOf(state)
  const middle = segments?.at(segments.length >> 1)
  return `${segments?.length} up to ${endOf(state)}, ${middle?.sha256}, ${middle?.statistics.length}`
}

/** The same files in a directory. */
export async function copyToDirectory(place: ManifestPlace, path: string): Promise<void> {
  for await (const { key } of place.objects.list('')) {
    await mkdir(dirname(join(path, key)), { recursive: true })
    await writeFile(join(path, key), await place.objects.get(key))
  }
}

function segmentsOf(state: ManifestState) {
  return state.logs.get(LOG_ID)?.partitions[0]?.segments
}

function endOf(state: ManifestState): number {
  return segmentsOf(state)?.at(-1)?.endOffset ?? 0
}

function added(segment: SegmentEntry): ManifestEdit {
  return { kind: 'segment-added', logId: LOG_ID, partition: 0, segment }
}

async function segmentOf(index: number): Promise<SegmentEntry> {
  const sha256 = await sha256Hex(Buffer.from(String(index)))
  const baseOffset = index * SEGMENT_RECORDS
  const length = SEGMENT_BYTES + (index % 4_096)
  const name = { logId: LOG_ID, partition: 0, baseOffset, sha256, format: 'arrow' } as const
  const time = 1_700_000_000_000 + index * SEGMENT_MS
  return {
    baseOffset,
    endOffset: baseOffset + SEGMENT_RECORDS,
    schemaId: 0,
    timeMin: time,
    timeMax: time + SEGMENT_MS,
    appendTimeMin: time,
    appendTimeMax: time + SEGMENT_MS,
    rawBytes: 4 * length,
    length,
    sha256,
    format: 'arrow',
    statistics: [
      { nullCount: 0, min: baseOffset, max: baseOffset + SEGMENT_RECORDS - 1 },
      { nullCount: 0, min: time, max: time + SEGMENT_MS },
      { nullCount: index % 7, min: 0.01 * (index % 911), max: 900 + 0.01 * (index % 877) },
      { nullCount: 0, min: `name-${sha256.slice(0, 6)}`, max: `name-${sha256.slice(6, 12)}z` },
    ],
    disk: { object: segmentPath(name), position: 0, length },
    object: { object: segmentKey(name), position: 0, length },
  }
}

function logEdits(): readonly ManifestEdit[] {
  const fields = COLUMNS.map((name) => ({ name, type: 'float64', nullable: true }) as const)
  return [
    {
      kind: 'log-created',
      log: {
        id: LOG_ID,
        name: 'events',
        partitions: 1,
        timeColumn: 'at',
        keyColumn: null,
        createdAt: 0,
        policy: {
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
        },
      },
      startOffsets: [0],
    },
    { kind: 'schema-added', logId: LOG_ID, schema: { id: 0, fields } },
  ]
}

function countedFiles(
  files: ManifestFiles,
  counted: { bytes: number; operations: number },
): ManifestFiles {
  return {
    location: files.location,
    newest() {
      counted.operations++
      return files.newest()
    },
    list(after) {
      counted.operations++
      return files.list(after)
    },
    async read(file) {
      counted.operations++
      const bytes = await files.read(file)
      counted.bytes += bytes?.length ?? 0
      return bytes
    },
    putIfAbsent(file, bytes) {
      counted.operations++
      counted.bytes += bytes.length
      return files.putIfAbsent(file, bytes)
    },
    remove(file) {
      counted.operations++
      return files.remove(file)
    },
  }
}
