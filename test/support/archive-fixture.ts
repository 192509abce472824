/** An archive made by hand: segments, a manifest, and the plain records that they must give back. */
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { encodeIdentity } from '../../src/format/identity.ts'
import type { LogDefinition, SegmentEntry, Snapshot } from '../../src/format/manifest.ts'
import { IDENTITY_FILE, segmentKey } from '../../src/format/paths.ts'
import type { Row } from '../../src/format/schema-inference.ts'
import type { ColumnType, Schema } from '../../src/format/schema.ts'
import { manifestFilesInStore } from '../../src/log/manifest-files.ts'
import { ManifestStore } from '../../src/log/manifest-store.ts'
import { MemoryObjectStore } from '../../src/storage/memory-object-store.ts'
import { logDefinition, writer } from './manifests.ts'
import { type OracleRecord, oracleHash } from './oracle-hash.ts'
import { cutBatch, sampleBatch, sampleSchema, writeSegment } from './sample-batches.ts'

export const FIXTURE_ENGINE_ID: string = 'fixture-engine'

export interface FixtureLog {
  readonly definition: LogDefinition
  schema: Schema
  readonly records: OracleRecord[]
}

interface SegmentOptions {
  readonly blockRows?: number
  readonly change?: (entry: SegmentEntry) => SegmentEntry
}

export class ArchiveFixture {
  readonly store: MemoryObjectStore
  readonly clock: VirtualClock
  readonly manifest: ManifestStore
  #nextId = 1

  private constructor(store: MemoryObjectStore, clock: VirtualClock, manifest: ManifestStore) {
    this.store = store
    this.clock = clock
    this.manifest = manifest
  }

  static async create(): Promise<ArchiveFixture> {
    const store = new MemoryObjectStore({ url: 'memory://fixture' })
    const clock = new VirtualClock()
    const manifest = await ManifestStore.open(manifestFilesInStore(store), { clock })
    await manifest.claim(writer('fixture'), FIXTURE_ENGINE_ID)
    await store.put(IDENTITY_FILE, encodeIdentity({ kind: 'archive', engineId: FIXTURE_ENGINE_ID }))
    return new ArchiveFixture(store, clock, manifest)
  }

  async addLog(
    name: string,
    types: Readonly<Record<string, ColumnType>>,
    changes: Partial<LogDefinition> = {},
  ): Promise<FixtureLog> {
    const definition = logDefinition(this.#nextId++, { name, timeColumn: 'at', ...changes })
    const schema = sampleSchema(types)
    await this.manifest.commit([
      {
        kind: 'log-created',
        log: definition,
        startOffsets: Array.from({ length: definition.partitions }, () => 0),
      },
      { kind: 'schema-added', logId: definition.id, schema },
    ])
    return { definition, schema, records: [] }
  }

  async addSchema(log: FixtureLog, types: Readonly<Record<string, ColumnType>>): Promise<void> {
    log.schema = sampleSchema(types, log.schema.id + 1)
    await this.manifest.commit([
      { kind: 'schema-added', logId: log.definition.id, schema: log.schema },
    ])
  }

  /** Writes rows as one segment of blocks of `blockRows`, and returns its entry. */
  async addSegment(
    log: FixtureLog,
    partition: number,
    baseOffset: number,
    rows: readonly Row[],
    options: SegmentOptions = {},
  ): Promise<SegmentEntry> {
    const entry = await this.#putSegment(log, partition, baseOffset, rows, options)
    const logId = log.definition.id
    await this.manifest.commit([{ kind: 'segment-added', logId, partition, segment: entry }])
    rows.forEach((values, index) =>
      log.records.push({ partition, offset: baseOffset + index, values }),
    )
    return entry
  }

  /** Makes one segment of those that a partition has, whose objects are gone then. */
  async mergeSegments(log: FixtureLog, partition: number): Promise<SegmentEntry> {
    const logId = log.definition.id
    const inOrder = log.records
      .filter((record) => record.partition === partition)
      .toSorted((a, b) => a.offset - b.offset)
    const rows = inOrder.map(({ values }) => values)
    const segment = await this.#putSegment(log, partition, inOrder[0]?.offset ?? 0, rows)
    const before = [...(this.manifest.state.logs.get(logId)?.partitions[partition]?.segments ?? [])]
    const retiredAt = this.clock.now()
    await this.manifest.commit([
      { kind: 'segments-replaced', logId, partition, segment, retiredAt },
    ])
    for (const { object } of before) if (object !== null) await this.store.remove(object.object)
    return segment
  }

  async #putSegment(
    log: FixtureLog,
    partition: number,
    baseOffset: number,
    rows: readonly Row[],
    options: SegmentOptions = {},
  ): Promise<SegmentEntry> {
    const { definition, schema } = log
    const { blockRows = rows.length, change = (entry: SegmentEntry) => entry } = options
    const batch = sampleBatch(schema, rows, { baseOffset })
    const cuts = Array.from({ length: Math.ceil(rows.length / blockRows) - 1 }, () => blockRows)
    const written = writeSegment(cutBatch(batch, cuts), {
      engineId: FIXTURE_ENGINE_ID,
      logId: definition.id,
      logName: definition.name,
      partition,
      timeColumn: definition.timeColumn ?? '_time',
      keyColumn: definition.keyColumn,
    })
    const { facts, length, sha256, bytes } = written
    const key = segmentKey({ logId: definition.id, partition, baseOffset, sha256, format: 'arrow' })
    await this.store.put(key, bytes)
    return change({
      baseOffset,
      endOffset: facts.endOffset,
      schemaId: schema.id,
      timeMin: facts.timeMin,
      timeMax: facts.timeMax,
      appendTimeMin: facts.appendTimeMin,
      appendTimeMax: facts.appendTimeMax,
      rawBytes: facts.rawBytes,
      length,
      sha256,
      format: 'arrow',
      statistics: facts.statistics,
      disk: null,
      object: { object: key, position: 0, length },
    })
  }

  async addSnapshot(snapshot: Snapshot): Promise<void> {
    await this.manifest.commit([{ kind: 'snapshot-created', snapshot }])
  }

  /** The hash that the log's records must have, by the oracle. `keep` picks records. */
  hash(log: FixtureLog, keep: (record: OracleRecord) => boolean = () => true): string {
    const inOrder = log.records.filter(keep).toSorted((a, b) => a.offset - b.offset)
    return oracleHash(log.schema.fields, inOrder)
  }

  /** Changes the stored bytes of an object. */
  async damage(key: string, change: (bytes: Uint8Array) => Uint8Array): Promise<void> {
    await this.store.put(key, change(await this.store.get(key)))
  }
}

/** Rows of the types `{ at: timestamp[ms], n: int32, text: utf8 }`, one a `stepMs`, with nulls among them. */
export function fixtureRows(first: number, count: number, startMs = 1_000_000, stepMs = 10): Row[] {
  return Array.from({ length: count }, (_, index) => {
    const n = first + index
    return {
      at: new Date(startMs + n * stepMs),
      n: n % 7 === 3 ? null : n,
      text: n % 5 === 2 ? null : `text ${n % 11}`,
    }
  })
}

export const FIXTURE_TYPES: Readonly<Record<string, ColumnType>> = {
  at: 'timestamp[ms]',
  n: 'int32',
  text: 'utf8',
}

/** Flips a bit inside the first compressed body of a segment. */
export function flipInBlock(bytes: Uint8Array): Uint8Array {
  const position = Buffer.from(bytes).indexOf(Buffer.from([0x04, 0x22, 0x4d, 0x18])) + 12
  return bytes.with(position, (bytes[position] ?? 0) ^ 1)
}
