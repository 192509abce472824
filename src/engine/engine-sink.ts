/** A replay into an engine: the logs are made anew, with the offsets and times that the records had. */
import { StratalogError } from '../base/errors.ts'
import { parseLogName } from '../base/log-name.ts'
import type { LogDefinition } from '../format/manifest.ts'
import { SegmentEntries } from '../format/segment-entries.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { ReplayLog, ReplaySink } from '../replay/sink.ts'
import { appendable } from './appendable.ts'
import type { Engine } from './engine.ts'

/**
 * Logs get the engine's default policy, but in RAM they refuse rather than evict: a replay that does not fit says so.
 * @throws from its calls StratalogError `log_exists` before anything is appended, `memory_full`, `offset_gap` where a
 * log with a lower tier would need to leave offsets out.
 */
export function engineSink(engine: Engine): ReplaySink {
  const targets = new Map<number, LiveLog>()
  return {
    begin: async (log) => {
      targets.set(log.definition.id, await createTarget(engine, log))
    },
    append: async (definition, partition, batch) => {
      const target = targets.get(definition.id)
      if (target === undefined) return
      for (const piece of appendable(batch))
        await appendBatch(engine, target, definition, partition, piece)
    },
    end: async () => {},
  }
}

async function createTarget(engine: Engine, log: ReplayLog): Promise<LiveLog> {
  const { definition, schemas, startOffsets } = log
  const name = parseLogName(definition.name)
  if (engine.registry.has(name)) {
    throw new StratalogError(
      'log_exists',
      `The engine has a log '${name}' already; replay into one without it.`,
      {
        details: { log: name },
      },
    )
  }
  const storage = engine.surroundings.hasDataDir ? {} : { evictionPolicy: 'reject' as const }
  const policy = engine.policies.resolve(storage)
  const state = await engine.commitLog((id) => ({
    definition: { ...definition, id, policy, createdAt: engine.ports.clock.now() },
    schemas,
    partitions: startOffsets.map((startOffset) => ({
      startOffset,
      segments: SegmentEntries.empty,
    })),
  }))
  return engine.registry.add(state)
}

async function appendBatch(
  engine: Engine,
  target: LiveLog,
  definition: LogDefinition,
  number: number,
  batch: RecordBatch,
): Promise<void> {
  const admitted = engine.governor.admit(target, null)
  if (admitted !== null) await admitted
  const partition = target.partition(number)
  if (batch.baseOffset > partition.nextOffset) {
    if (target.policy.mode !== 'memory') {
      throw new StratalogError(
        'offset_gap',
        `Offsets ${partition.nextOffset} to ${batch.baseOffset} of '${definition.name}', partition ${number}, are missing, and a log with a lower tier cannot leave them out. Replay into an engine in RAM.`,
        {
          details: {
            log: definition.name,
            partition: number,
            from: partition.nextOffset,
            to: batch.baseOffset,
          },
        },
      )
    }
    partition.skipTo(batch.baseOffset)
  }
  const { fields } = batch.schema
  await target.append(
    partition,
    { kind: 'columns', fields, columns: batch.columns, length: batch.length },
    target.policy.ack,
    engine.ports.clock.now(),
  )
}
