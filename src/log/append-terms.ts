import { StratalogError } from '../base/errors.ts'
import type { AckLevel, LogDefinition } from '../format/manifest.ts'
import type { Producer } from '../format/producer.ts'
import { type AppendInput, inputLength } from './append-input.ts'
import type { Partition } from './partition.ts'

/** What an append asks for besides its level; nothing of it is kept for records that are the same in all of it. */
export interface AppendTerms {
  /** ms of the engine's clock; from then on the records are gone. Infinity: never. */
  readonly expiresAt: number
  /** Among the records of a log with eviction by priority, lower ones go first. */
  readonly priority: number
  /** Whose append it is, so that it is applied once however often it comes. */
  readonly producer?: Producer | undefined
  /** The offset that the append has to begin at. */
  readonly expectedOffset?: number | undefined
  /** Ends a wait for memory. */
  readonly signal?: AbortSignal | undefined
}

/** An append that may have to wait. */
export interface Append {
  readonly partition: Partition
  readonly input: AppendInput
  readonly ack: AckLevel
  readonly appendTime: number
  readonly terms: AppendTerms
}

export const DEFAULT_TERMS: AppendTerms = { expiresAt: Infinity, priority: 0 }

/**
 * Looked at in the synchronous stretch that applies the append, so that nothing comes between.
 * @throws StratalogError `offset_unexpected`.
 */
export function assertExpected(
  { name }: LogDefinition,
  { partition, nextOffset }: Pick<Partition, 'partition' | 'nextOffset'>,
  expected: number | undefined,
): void {
  if (expected === undefined || expected === nextOffset) return
  throw new StratalogError(
    'offset_unexpected',
    `The append was to begin at offset ${expected} of partition ${partition} of '${name}', whose next offset is ${nextOffset}. Nothing of it was applied.`,
    { details: { log: name, partition, expected, actual: nextOffset } },
  )
}

/**
 * Whether an append of a producer was applied before, so that to append it again takes no room.
 * @throws StratalogError those of `ProducerTable.find`.
 */
export function isApplied(
  { producers }: Partition,
  input: AppendInput,
  producer: Producer,
  now: number,
): boolean {
  return producers.find(producer, inputLength(input), now) !== null
}

/** For an append that waited while its log may have changed. @throws StratalogError `argument_invalid`. */
export function assertStillFits(log: LogDefinition, ack: AckLevel, terms: AppendTerms): void {
  const { mode, wal } = log.policy
  const isTooHigh = ack === 'disk' && !wal
  const hasTerms = terms.expiresAt !== Infinity || terms.priority !== 0
  if (!isTooHigh && (mode === 'memory' || !hasTerms)) return
  throw new StratalogError(
    'argument_invalid',
    `Log '${log.name}' was changed while the append waited, and does not take it any more: ${isTooHigh ? 'it has no WAL' : `it is of mode '${mode}'`}. Nothing of this append was applied.`,
    { details: { log: log.name, mode, wal } },
  )
}
