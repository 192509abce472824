import { fileURLToPath } from 'node:url'
import type { ManifestBase } from '../../src/format/manifest-codec.ts'
import type {
  Location,
  LogDefinition,
  ManifestEdit,
  ManifestState,
  SegmentEntry,
  StoragePolicy,
  Writer,
} from '../../src/format/manifest.ts'
import {
  type ManifestFileName,
  type NumberedManifestFile,
  manifestPath,
} from '../../src/format/paths.ts'
import type { ManifestFiles } from '../../src/log/manifest-files.ts'

export const HYBRID_POLICY: StoragePolicy = {
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

export function logDefinition(id: number, changes: Partial<LogDefinition> = {}): LogDefinition {
  return {
    id,
    name: `log-${id}`,
    partitions: 1,
    timeColumn: 'at',
    keyColumn: null,
    policy: HYBRID_POLICY,
    createdAt: 1_000,
    ...changes,
  }
}

/** An object copy of `segmentEntry`. */
export function objectAt(baseOffset: number): Location {
  return { object: `segments/1/0/${baseOffset}-object`, position: 0, length: 32 }
}

/** A segment entry of a schema with one column. */
export function segmentEntry(
  baseOffset: number,
  endOffset: number,
  changes: Partial<SegmentEntry> = {},
): SegmentEntry {
  const sha256 = baseOffset.toString(16).padStart(64, 'a')
  return {
    baseOffset,
    endOffset,
    schemaId: 0,
    timeMin: 5_000,
    timeMax: 6_000,
    appendTimeMin: 7_000,
    appendTimeMax: 8_000,
    rawBytes: 64,
    length: 32,
    sha256,
    format: 'arrow',
    statistics: [{ nullCount: 0, min: -1.5, max: 'z' }],
    disk: { object: `segments/1/0/${baseOffset}`, position: 0, length: 32 },
    object: null,
    ...changes,
  }
}

export function writer(id: string): Writer {
  return { id, pid: 42, host: 'host', since: 1_000 }
}

/** One edit of every kind, in an order in which they fit an empty state. */
export const EVERY_EDIT: readonly ManifestEdit[] = [
  { kind: 'engine-created', engineId: 'engine-1' },
  { kind: 'writer-claimed', epoch: 1, writer: writer('first') },
  { kind: 'log-ids-reserved', nextLogId: 4 },
  {
    kind: 'archive-noted',
    archive: { url: 's3://bucket/prefix', endpoint: null, region: 'eu-1', forcePathStyle: null },
  },
  { kind: 'log-created', log: logDefinition(1), startOffsets: [0] },
  {
    kind: 'schema-added',
    logId: 1,
    schema: { id: 0, fields: [{ name: 'at', type: 'timestamp[ms]', nullable: true }] },
  },
  {
    kind: 'policy-changed',
    logId: 1,
    policy: { ...HYBRID_POLICY, archiveAfter: null, diskTtl: null },
  },
  { kind: 'segment-added', logId: 1, partition: 0, segment: segmentEntry(0, 10) },
  {
    kind: 'segment-added',
    logId: 1,
    partition: 0,
    segment: segmentEntry(20, 21, {
      timeMin: Infinity,
      timeMax: -Infinity,
      statistics: [{ nullCount: 1 }],
    }),
  },
  {
    kind: 'segment-copied',
    logId: 1,
    partition: 0,
    baseOffset: 0,
    tier: 'object',
    location: { object: 'segments/1/0/key', position: 128, length: 32 },
  },
  { kind: 'segment-copy-dropped', logId: 1, partition: 0, baseOffset: 0, tier: 'disk' },
  {
    kind: 'log-created',
    log: logDefinition(7, { partitions: 2, keyColumn: 'key', timeColumn: null }),
    startOffsets: [0, 5],
  },
  { kind: 'log-created', log: logDefinition(8), startOffsets: [0] },
  { kind: 'log-deleted', logId: 8, deletedAt: null },
  { kind: 'checkpoint', walLsn: 4096 },
  {
    kind: 'snapshot-created',
    snapshot: {
      id: 's1',
      name: 'nightly',
      time: 9_000,
      logs: [
        { logId: 1, name: 'log-1', partitions: [{ partition: 0, startOffset: 0, endOffset: 21 }] },
      ],
      bytes: 64,
      newBytes: 32,
    },
  },
  {
    kind: 'snapshot-created',
    snapshot: { id: 's2', name: 'gone', time: 9_001, logs: [], bytes: 0, newBytes: 0 },
  },
  { kind: 'snapshot-deleted', id: 's2' },
  {
    kind: 'segment-added',
    logId: 1,
    partition: 0,
    segment: segmentEntry(21, 30, { disk: null, object: objectAt(21) }),
  },
  {
    kind: 'segments-replaced',
    logId: 1,
    partition: 0,
    segment: segmentEntry(20, 30, { sha256: 'b'.repeat(64) }),
    retiredAt: 9_500,
  },
  { kind: 'start-moved', logId: 1, partition: 0, startOffset: 20, retiredAt: 9_600 },
  {
    kind: 'segment-retired',
    logId: 1,
    partition: 0,
    segment: segmentEntry(5, 6, { disk: null, object: objectAt(5) }),
    retiredAt: 9_700,
  },
  { kind: 'segments-collected', logId: 1, partition: 0, locations: [objectAt(5)] },
  { kind: 'objects-unnamed', objects: ['left', 'doomed', 'gone'], since: 9_800 },
  { kind: 'objects-unnamed', objects: ['later'], since: 9_900 },
  { kind: 'objects-doomed', objects: ['doomed', 'gone'] },
  { kind: 'objects-forgotten', objects: ['gone'] },
]

/** The root of a state, at commit 1, as if it had no segment. */
export function baseOf(state: ManifestState): ManifestBase {
  return { number: 1, commitHash: 'c'.repeat(64), previousBase: 0, time: 1, state, pages: [] }
}

/** What the next `putIfAbsent` does instead of working. */
export type PutFault = 'fail-before' | 'land-and-fail'

/** Manifest files in a map, with faults and counted reads. Several stores may share one. */
export class MemoryManifestFiles implements ManifestFiles {
  readonly location: string = 'memory'
  readonly files: Map<string, Uint8Array> = new Map()
  readonly faults: PutFault[] = []
  reads: number = 0
  lists: number = 0
  readonly newest = async (): Promise<number> => 0
  /** Called before a put takes its name: a rival can come first. */
  beforePut: () => Promise<void> = async () => {}

  async *list(after: number): AsyncGenerator<NumberedManifestFile> {
    this.lists++
    const names = [...this.files.keys()].sort()
    for (const name of names) {
      const match = /(\d+)\.(edit|base)$/.exec(name)
      if (match === null) continue
      const number = Number(match[1])
      if (number > after) yield { kind: match[2] === 'base' ? 'base' : 'commit', number }
    }
  }

  async read(file: ManifestFileName): Promise<Uint8Array | null> {
    this.reads++
    return this.files.get(manifestPath(file)) ?? null
  }

  async remove(file: ManifestFileName): Promise<void> {
    this.files.delete(manifestPath(file))
  }

  async putIfAbsent(file: ManifestFileName, bytes: Uint8Array): Promise<boolean> {
    const fault = this.faults.shift()
    if (fault === 'fail-before') throw new Error('the put failed')
    await this.beforePut()
    const name = manifestPath(file)
    if (this.files.has(name)) return false
    this.files.set(name, bytes)
    if (fault === 'land-and-fail') throw new Error('the put failed')
    return true
  }
}

export function goldenPath(name: string): string {
  return fileURLToPath(new URL(`../golden/${name}`, import.meta.url))
}
