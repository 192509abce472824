/**
 * How far of an archive a log goes whose records were replayed and moved up: each append has a producer whose epoch is
 * the archive's offset after its last record. So the mark is durable with the records, or gone with them.
 *
 * Two producers take turns, so that the mark before is there yet when the newest append is lost: of one producer only
 * appends of its newest epoch are remembered. A mark counts where the log ends with its append. Not so where others
 * have appended, or where a log without a WAL lost more than one append in a crash.
 */
import { type Producer, type ProducerState, producerEnd } from '../format/producer.ts'
import type { Partition } from '../log/partition.ts'

const PRODUCER_IDS = ['stratalog:replay-0', 'stratalog:replay-1'] as const

interface ReplayMark {
  readonly producerId: string
  /** Everything of the archive's partition that is before was looked at. */
  readonly heldTo: number
}

/** Null where none is of the last append. */
export function markAtEnd(partition: Partition): ReplayMark | null {
  const { nextOffset } = partition
  const last = marksOf(partition).find((state) => producerEnd(state) === nextOffset)
  return last === undefined ? null : { producerId: last.producerId, heldTo: last.epoch }
}

/** Whether a replay moved records up in it. */
export function isMarked(partition: Partition): boolean {
  return marksOf(partition).length > 0
}

/** Of the next append, whose last record is the one before `heldTo` in the archive. */
export function nextMark(partition: Partition, heldTo: number): Producer {
  const [even, odd] = PRODUCER_IDS
  const producerId = markAtEnd(partition)?.producerId === even ? odd : even
  return { producerId, epoch: heldTo, sequence: 0 }
}

function marksOf({ producerStates }: Partition): readonly ProducerState[] {
  return producerStates.filter(({ producerId }) =>
    PRODUCER_IDS.some((candidate) => candidate === producerId),
  )
}
