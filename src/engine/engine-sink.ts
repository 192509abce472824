/**
 * A replay into an engine: the logs are made anew, with the offsets and times that the records had.
 *
 * Each record is there once, also after a replay that was killed and taken up again: the log itself says how far it is.
 * Where offsets stay as they are that is its next offset. A log with a lower tier has no holes, so when records are
 * picked by time or by a filter they move up; then every append says with its producer how far of the archive it goes
 * (`replay-mark.ts`). To count records says nothing: some may be damaged, repaired or gone since. Both need that nobody
 * else appends meanwhile; who does ends the replay.
 */
import { StratalogError } from '../base/errors.ts'
import { parseLogName } from '../base/log-name.ts'
import { isDeepStrictEqual } from 'node:util'
import type { AckLevel, LogDefinition } from '../format/manifest.ts'
import { SegmentEntries } from '../format/segment-entries.ts'
import { type RecordBatch, endOffset } from '../format/record-batch.ts'
import { DEFAULT_TERMS, assertExpected } from '../log/append-terms.ts'
import { latestHashOf } from '../log/latest-hash.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import type { ReplayLog, ReplayPosition, ReplaySink, SinkStart } from '../replay/sink.ts'
import { appendable } from './appendable.ts'
import { CompactedBatches } from './compacted-batches.ts'
import type { Engine } from './engine.ts'
import { isMarked, markAtEnd, nextMark } from './replay-mark.ts'

/** How records are picked: by offsets alone, or also by time, or by a function. */
export type PickedBy = 'offset' | 'time' | 'filter'

/** A log that a replay fills. */
export interface ReplayTarget {
  readonly log: LiveLog
  /** Of the log that is replayed. */
  readonly name: string
  /** Records move up where some are left out. */
  readonly isDense: boolean
  readonly compacted: ReplayLog['compacted']
  /** By partition: where the replay itself has come to. */
  readonly nextOffsets: number[]
  /** By partition: what goes around the WAL. */
  readonly holey: readonly CompactedBatches[]
}

export interface EngineSink extends ReplaySink {
  targets(): Iterable<ReplayTarget>
}

/**
 * `nameHere` says what a log is called in the engine. `isHidden`: the caller has reserved the names, and publishes the
 * logs itself.
 *
 * Logs get the engine's default policy, but in RAM they refuse rather than evict: a replay that does not fit says so.
 * @throws from its calls StratalogError `log_exists` before anything is appended, `memory_full`, `offset_gap` where a
 * log with a lower tier would need to leave offsets out, `offset_unexpected` where somebody else has appended.
 */
export function engineSink(
  engine: Engine,
  pickedBy: PickedBy,
  nameHere: (name: string) => string = (name) => name,
  isHidden = false,
): EngineSink {
  const targets = new Map<number, ReplayTarget>()
  return {
    targets: () => targets.values(),
    begin: async (given) => {
      const { resumedAt } = given
      const { name } = given.definition
      const definition = { ...given.definition, name: nameHere(name) }
      const replayed = { ...given, definition }
      const { compacted } = given
      const isThere = engine.registry.has(parseLogName(definition.name))
      // In RAM the holes that times leave cost nothing; those that a filter leaves are many.
      const isDense =
        pickedBy === 'filter' || (pickedBy === 'time' && engine.surroundings.hasDataDir)
      const log = isThere
        ? existingTarget(engine, replayed)
        : await createTarget(engine, replayed, isDense, isHidden)
      const nextOffsets = log.partitions.map(({ nextOffset }) => nextOffset)
      const holey = holeyPartitions(engine, log, compacted, isDense, nextOffsets)
      targets.set(definition.id, { log, name, isDense, compacted, nextOffsets, holey })
      if (!isThere) return null
      return log.partitions.map(({ startOffset, nextOffset }, partition): SinkStart => {
        if (!isDense) {
          assertUnmarked(log, partition)
          return startAt({ offset: nextOffset, records: nextOffset - startOffset })
        }
        const begin = { offset: replayed.startOffsets[partition] ?? 0, records: 0 }
        return denseStart(log, partition, resumedAt?.[partition] ?? begin, begin)
      })
    },
    append: async (definition, partition, batch) => {
      const target = targets.get(definition.id)
      if (target === undefined) return
      for (const piece of appendable(batch)) await appendBatch(engine, target, partition, piece)
    },
    damaged: ({ id }, partition, from, to) =>
      targets.get(id)?.holey[partition]?.lose({ start: from, end: to }),
    end: async () => {
      for (const { holey } of targets.values()) for (const partition of holey) await partition.end()
    },
    latestHash: async ({ id }, signal) => {
      const view = targets.get(id)?.log.view() ?? null
      if (view === null) return null
      try {
        return await latestHashOf(view, { signal })
      } finally {
        view.release()
      }
    },
  }
}

/**
 * By the log's own mark; without one the resume point is right where it counts as many records as there are.
 * @throws StratalogError `log_exists`.
 */
function denseStart(
  log: LiveLog,
  number: number,
  resumed: ReplayPosition,
  begin: ReplayPosition,
): SinkStart {
  const partition = log.partition(number)
  const { nextOffset: records } = partition
  const mark = markAtEnd(partition)
  const from = records < resumed.records ? begin : resumed
  if (mark !== null && from.offset > mark.heldTo) return startAt({ offset: mark.heldTo, records })
  if (mark !== null)
    return {
      ...{ offset: from.offset, records },
      ...{ heldTo: mark.heldTo, heldBetween: records - from.records },
    }
  const start = records === 0 ? begin : resumed
  if (start.records === records) return startAt(start)
  throw logExists(
    log.name,
    `nothing says how far of the archive the ${records} records of partition ${number} go: others have appended, or a crash took the end of a log without a WAL. Replay into an empty target, or restore`,
  )
}

function startAt(position: ReplayPosition): SinkStart {
  return { ...position, heldTo: position.offset, heldBetween: 0 }
}

/** Offsets of a log whose records moved up are others than the archive's. @throws StratalogError `log_exists`. */
function assertUnmarked(log: LiveLog, number: number): void {
  if (!isMarked(log.partition(number))) return
  throw logExists(
    log.name,
    'it was made by a replay that picked records by a time or a filter, so offsets are others. Go on with the same options, or replay into an empty target',
  )
}

/** The log that an earlier replay made. @throws StratalogError `log_exists`. */
function existingTarget(engine: Engine, { definition, schemas, resumedAt }: ReplayLog): LiveLog {
  const { name } = definition
  const log = engine.registry.get(name)
  if (resumedAt === null)
    throw logExists(name, 'replay into an engine without it, or go on from a resume point')
  const likeness = ({ partitions, timeColumn, keyColumn }: LogDefinition): unknown => ({
    partitions,
    timeColumn,
    keyColumn,
  })
  const fieldsOf = (list: ReplayLog['schemas']): unknown => list.map(({ fields }) => fields)
  const isSame =
    isDeepStrictEqual(likeness(log.definition), likeness(definition)) &&
    isDeepStrictEqual(fieldsOf(log.schemas), fieldsOf(schemas))
  if (!isSame) throw logExists(name, 'it has other columns or partitions than the archived one')
  return log
}

function logExists(log: string, what: string): StratalogError {
  return new StratalogError('log_exists', `The engine has a log '${log}' already; ${what}.`, {
    details: { log },
  })
}

async function createTarget(
  engine: Engine,
  replayed: ReplayLog,
  isDense: boolean,
  isHidden: boolean,
): Promise<LiveLog> {
  const { definition, schemas, startOffsets } = replayed
  const storage = engine.surroundings.hasDataDir ? {} : { evictionPolicy: 'reject' as const }
  const policy = engine.policies.resolveFor(storage, definition.keyColumn)
  const { name } = definition
  if (!isHidden && !engine.registry.reserve(name))
    throw logExists(name, 'it is being made right now')
  try {
    const state = await engine.commitLog((id) => ({
      definition: { ...definition, id, policy, createdAt: engine.ports.clock.now() },
      schemas,
      partitions: startOffsets.map((startOffset) => ({
        startOffset: isDense ? 0 : startOffset,
        segments: SegmentEntries.empty,
      })),
    }))
    return isHidden ? engine.registry.make(state) : engine.registry.add(state)
  } catch (error) {
    if (!isHidden) engine.registry.release(name)
    throw error
  }
}

/** None where nothing is left out, or where holes cost nothing. */
function holeyPartitions(
  { lowerTiers }: Engine,
  log: LiveLog,
  compacted: ReplayLog['compacted'],
  isDense: boolean,
  nextOffsets: number[],
): readonly CompactedBatches[] {
  if (isDense || lowerTiers === null || log.policy.mode === 'memory' || compacted.length === 0)
    return []
  return log.partitions.map((partition) => {
    const ranges = compacted.filter((range) => range.partition === partition.partition)
    return new CompactedBatches(ranges, async (rows, range) => {
      await lowerTiers.writeHistory(log, partition, rows, range)
      nextOffsets[partition.partition] = range.endOffset
    })
  })
}

async function appendBatch(
  engine: Engine,
  { log, name, isDense, compacted, nextOffsets, holey }: ReplayTarget,
  number: number,
  batch: RecordBatch,
): Promise<void> {
  const admitted = engine.governor.admit(log, null)
  if (admitted !== null) await admitted
  const partition = log.partition(number)
  assertExpected(log.definition, partition, nextOffsets[number])
  const now = engine.ports.clock.now()
  if ((await holey[number]?.take(batch, partition.nextOffset, now)) === true) return
  if (!isDense && batch.baseOffset > partition.nextOffset) {
    if (log.policy.mode !== 'memory') {
      throw new StratalogError(
        'offset_gap',
        `Offsets ${partition.nextOffset} to ${batch.baseOffset} of '${name}', partition ${number}, are missing, and a log with a lower tier cannot leave them out. Restore the archive, which can, or replay into an engine in RAM.`,
        {
          details: {
            log: name,
            partition: number,
            from: partition.nextOffset,
            to: batch.baseOffset,
          },
        },
      )
    }
    skipTo(partition, batch.baseOffset, compacted)
  }
  const expectedOffset = partition.nextOffset
  const producer = isDense ? nextMark(partition, endOffset(batch)) : undefined
  const { fields } = batch.schema
  await log.append(
    partition,
    { kind: 'columns', fields, columns: batch.columns, length: batch.length },
    isDense ? markedAck(log) : log.policy.ack,
    engine.ports.clock.now(),
    { ...DEFAULT_TERMS, expectedOffset, producer },
  )
  nextOffsets[number] = expectedOffset + batch.length
}

/** Two marks are kept, so where there is a WAL an append waits until the one before is sure to stay. */
function markedAck({ hasWal, policy }: LiveLog): AckLevel {
  return hasWal && policy.ack === 'memory' ? 'disk' : policy.ack
}

/** Says of the offsets that are left out whether they are older versions of keys. */
function skipTo(partition: Partition, offset: number, compacted: ReplayLog['compacted']): void {
  for (const { partition: number, from, to } of compacted) {
    if (number !== partition.partition || to <= partition.nextOffset || from >= offset) continue
    partition.skipTo(Math.max(from, partition.nextOffset))
    partition.skipTo(Math.min(to, offset), 'compacted')
  }
  partition.skipTo(offset)
}
