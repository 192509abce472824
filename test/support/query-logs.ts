/** Logs made by hand for queries: views whose records lie in the tiers that a test wants, and a runner over them. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { StratalogError } from '../../src/base/errors.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { noMetrics } from '../../src/base/metrics.ts'
import { spawnQueryProcess } from '../../src/engine/workers/spawn-query-process.ts'
import { spawnQueryWorker } from '../../src/engine/workers/spawn-query-worker.ts'
import type { LogDefinition, SegmentEntry, Tier } from '../../src/format/manifest.ts'
import type { RecordBatch } from '../../src/format/record-batch.ts'
import type { Schema } from '../../src/format/schema.ts'
import { LatestViews } from '../../src/log/latest-views.ts'
import type { LogView, PartitionView, SegmentSource, ViewSource } from '../../src/log/log-view.ts'
import type { LogFacts, SnapshotFacts } from '../../src/query/information-tables.ts'
import {
  DEFAULT_QUERY_LIMITS,
  type QueryLimits,
  QueryRunner,
} from '../../src/query/query-runner.ts'
import type { WorkerChannel } from '../../src/query/protocol.ts'
import type { LocalSegment, QueryPorts } from '../../src/query/query-ports.ts'
import { writeSegment } from './sample-batches.ts'

/** Consecutive records in one tier; several batches of a cold tier make one segment. */
export interface TierPart {
  readonly tier: Tier
  readonly batches: readonly RecordBatch[]
  /** Of a cold part: the offsets that it serves, when not all. */
  readonly from?: number
  readonly to?: number
}

export interface LogOptions {
  readonly timeColumn?: string
  readonly keyColumn?: string
  readonly schemas?: readonly Schema[]
}

/** A view that counts how often it was pinned and released. */
export class SampleLog {
  readonly name: string
  pins = 0
  releases = 0
  readonly #view: Omit<LogView, 'release'>

  constructor(name: string, view: Omit<LogView, 'release'>) {
    this.name = name
    this.#view = view
  }

  get facts(): LogFacts {
    const { definition: held, partitions } = this.#view
    return {
      definition: held,
      partitions: partitions.map(({ sources, ...partition }) => {
        const segments = sources.flatMap((source) =>
          source.tier === 'memory' ? [] : [source.segment],
        )
        return { ...partition, gaps: [], segments }
      }),
    }
  }

  pin(): LogView {
    this.pins++
    return {
      ...this.#view,
      release: () => {
        this.releases++
      },
    }
  }
}

/** Writes the cold parts as segment files below `directory`. Each partition is a list of parts in offset order. */
export async function sampleLog(
  directory: string,
  name: string,
  partitions: readonly (readonly TierPart[])[],
  options: LogOptions = {},
): Promise<SampleLog> {
  const views = await Promise.all(
    partitions.map((parts, partition) => partitionView(directory, name, partition, parts, options)),
  )
  const batches = partitions.flatMap((parts) => parts.flatMap((part) => part.batches))
  const schemas = options.schemas ?? [batches[0]?.schema ?? { id: 0, fields: [] }]
  const schema = schemas.at(-1) ?? { id: 0, fields: [] }
  return new SampleLog(name, {
    definition: definition(name, partitions.length, options),
    schema,
    schemas,
    partitions: views,
  })
}

async function partitionView(
  directory: string,
  name: string,
  partition: number,
  parts: readonly TierPart[],
  options: LogOptions,
): Promise<PartitionView> {
  const sources: ViewSource[] = []
  for (const part of parts) {
    const { tier, batches } = part
    if (tier === 'memory') {
      // As in an engine, some are the same in each view, and some are of an open batch.
      const memory = (batch: RecordBatch, index: number): ViewSource => ({
        tier,
        batch,
        isSealed: index % 2 === 0,
      })
      sources.push(...batches.map(memory))
    } else sources.push(await segmentSource(directory, name, partition, { ...part, tier }, options))
  }
  const batches = parts.flatMap((part) => part.batches)
  const last = batches.at(-1)
  const endOffset = last === undefined ? 0 : last.baseOffset + last.length
  return { partition, startOffset: batches[0]?.baseOffset ?? 0, endOffset, sources }
}

async function segmentSource(
  directory: string,
  name: string,
  partition: number,
  part: TierPart & { readonly tier: 'disk' | 'object' },
  options: LogOptions,
): Promise<SegmentSource> {
  const { tier, batches } = part
  const timeColumn = options.timeColumn ?? '_time'
  const { facts, length, sha256, bytes } = writeSegment(batches, {
    logId: idOf(name),
    logName: name,
    partition,
    timeColumn,
    keyColumn: options.keyColumn ?? null,
  })
  const path = join(directory, `${name}-${partition}-${facts.baseOffset}.arrow`)
  await writeFile(path, bytes)
  const {
    baseOffset,
    endOffset,
    timeMin,
    timeMax,
    appendTimeMin,
    appendTimeMax,
    rawBytes,
    statistics,
  } = facts
  const segment: SegmentEntry = {
    baseOffset,
    endOffset,
    schemaId: facts.schema.id,
    timeMin,
    timeMax,
    appendTimeMin,
    appendTimeMax,
    rawBytes,
    length,
    sha256,
    format: 'arrow',
    statistics,
    disk: tier === 'disk' ? { object: path, position: 0, length } : null,
    object: tier === 'object' ? { object: path, position: 0, length } : null,
  }
  return {
    tier,
    segment,
    from: part.from ?? baseOffset,
    to: part.to ?? endOffset,
    bytes: {
      length,
      path: tier === 'disk' ? path : null,
      position: 0,
      read: ({ start, end }) => Promise.resolve(bytes.subarray(start, end)),
    },
  }
}

function idOf(name: string): number {
  return 1 + (name.codePointAt(0) ?? 0)
}

function definition(name: string, partitions: number, options: LogOptions): LogDefinition {
  return {
    id: idOf(name),
    name,
    partitions,
    timeColumn: options.timeColumn ?? null,
    keyColumn: options.keyColumn ?? null,
    policy: {
      mode: 'memory',
      memoryTtl: 1,
      diskAfter: 1,
      archiveAfter: null,
      diskTtl: null,
      localDisk: true,
      retention: null,
      retentionBytes: null,
      ack: 'memory',
      wal: false,
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
    createdAt: 0,
  }
}

/** For tests that hold in both modes. */
export const ISOLATIONS = ['thread', 'process'] as const

export interface SampleRunner {
  readonly runner: QueryRunner
  /** Archived segments that were made local, by their first offset. */
  readonly fetched: number[]
  readonly channels: WorkerChannel[]
}

/** A runner over `logs` with a real worker; closed with the test. */
export function sampleRunner(
  logs: readonly SampleLog[],
  limits: Partial<QueryLimits> = {},
  snapshots: readonly SnapshotFacts[] = [],
  localSegment: QueryPorts['localSegment'] = wholeSegment,
): SampleRunner {
  const byName = new Map(logs.map((log) => [log.name, log]))
  const latest = new LatestViews({ clock: systemClock })
  const fetched: number[] = []
  const channels: WorkerChannel[] = []
  const runner = new QueryRunner(
    {
      clock: systemClock,
      logger: silentLogger,
      metrics: noMetrics,
      hasLog: (name) => byName.has(name),
      viewOf: (name) => {
        const log = byName.get(name)
        if (log === undefined) throw new StratalogError('log_not_found', `There is no log ${name}.`)
        return log.pin()
      },
      logFacts: () => logs.map((log) => log.facts),
      snapshots: () => Promise.resolve(snapshots),
      latestOf: (view, signal) => latest.select(view, signal),
      spawn: (options) => {
        const isThread = (limits.isolation ?? DEFAULT_QUERY_LIMITS.isolation) === 'thread'
        const channel = isThread ? spawnQueryWorker() : spawnQueryProcess(options)
        channels.push(channel)
        return channel
      },
      localSegment: (source, wanted, signal) => {
        fetched.push(source.segment.baseOffset)
        return localSegment(source, wanted, signal)
      },
    },
    { ...DEFAULT_QUERY_LIMITS, ...limits },
  )
  onTestFinished(() => runner.close())
  onTestFinished(() => latest.close())
  return { runner, fetched, channels }
}

/** The sample's own file. */
function wholeSegment({ segment }: SegmentSource): Promise<LocalSegment> {
  const path = segment.object?.object ?? ''
  return Promise.resolve({ path, isCached: false, requests: 1, release: () => {} })
}
