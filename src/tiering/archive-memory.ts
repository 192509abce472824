/**
 * Snapshots of memory-mode logs: what is in RAM goes to the archive, and stays in RAM. What expired or was evicted is
 * left out, so it does not come back by a snapshot; a segment has no holes, so one ends where there is a hole.
 */
import { present } from '../base/assert.ts'
import type { Range } from '../base/range.ts'
import { type ProducerState, producersAsOf } from '../format/producer.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import { runsWithin, termsInRam } from '../log/record-terms.ts'
import { archiveIsUnsettled } from './adopt-archived.ts'
import { notedIn } from './committed.ts'
import type { TierMove, TieringContext } from './context.ts'
import { archiveBatches, missingSchemas } from './flush.ts'
import { oneAtATime } from './one-at-a-time.ts'
import { memoryParts } from './memory-parts.ts'
import { cutsByTerms, groupForSegments } from './segment-groups.ts'
import { uploadSegments } from './upload.ts'

/**
 * Archives the records below `end` that the archive does not have yet. An earlier try that was answered with an error
 * may come to light by this one's commit; what it archived is not archived again.
 */
export function archiveMemory(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  end: number,
): Promise<readonly TierMove[]> {
  // Now: of a time that has passed only so many appends are remembered.
  const producers = producersAsOf(partition.producerStates, end)
  return oneAtATime(partition, () => archiveNow(context, log, partition, end, producers))
}

async function archiveNow(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  end: number,
  producers: readonly ProducerState[],
): Promise<readonly TierMove[]> {
  // Of a log that had a WAL, what is not durable may be taken back, and its offsets given to others.
  if (log.usesWal) await context.wal?.flush()
  const manifest = await present(context.archive, 'a snapshot needs an archive').manifest()
  // What is on disk, of a time when the log had another mode, goes to the archive as it is.
  const bases: number[] = []
  for (const { baseOffset } of partition.segments.lacking('object'))
    if (baseOffset < end) bases.push(baseOffset)
  const uploaded = await uploadSegments(context, log, partition, bases)
  const archivedEnd = (): number => {
    const known = notedIn(manifest.state, log, partition.partition)?.segments.at(-1)
    return Math.max(known?.endOffset ?? 0, partition.flushedEnd)
  }
  for (;;) {
    const start = archivedEnd()
    if (start >= end) return uploaded
    try {
      await reserveOffsets(context, log, partition, end)
      return [
        ...uploaded,
        ...(await archiveRange(context, log, partition, { start, end }, producers)),
      ]
    } catch (error) {
      if (archivedEnd() > start) continue
      archiveIsUnsettled(partition)
      throw error
    }
  }
}

async function archiveRange(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  range: Range,
  producers: readonly ProducerState[],
): Promise<readonly TierMove[]> {
  const { view, release } = partition.view(range)
  const terms = termsInRam(partition)
  try {
    const parts = await memoryParts(view.sources, context.clock)
    const moves: TierMove[] = []
    for (const group of groupForSegments(parts, cutsByTerms(parts, terms))) {
      const records = group.map(({ batch }) => batch)
      const runs = runsWithin(terms, group[0]?.baseOffset ?? 0, group.at(-1)?.endOffset ?? 0)
      const segment = await archiveBatches(context, log, partition, records, producers, runs)
      moves.push({
        log: log.name,
        partition: partition.partition,
        from: segment.baseOffset,
        to: segment.endOffset,
        fromTier: 'memory',
        toTier: 'object',
        bytes: segment.length,
      })
      // What was evicted meanwhile goes now: all of it at once, at the end, would hold up appends.
      release(segment.endOffset)
    }
    return moves
  } finally {
    release()
  }
}

/**
 * Notes in the local manifest that the offsets below `end` were given, and the schemas so far, before the archive gets
 * them: a log in RAM has no WAL. An engine that is opened while the archive is away sees nothing of these records; it
 * would give their offsets and the numbers of their schemas to others, which the archive would refuse from then on.
 */
async function reserveOffsets(
  { disk }: TieringContext,
  log: LiveLog,
  partition: Partition,
  end: number,
): Promise<void> {
  if (log.policy.wal) return
  const place = { logId: log.id, partition: partition.partition }
  await disk?.manifest.commit((state) => {
    const known = notedIn(state, log, partition.partition)?.denseFrom ?? 0
    const schemas = missingSchemas(state, log)
    if (known >= end) return schemas
    return [...schemas, { kind: 'offsets-dense-from', ...place, offset: end }]
  })
}
