/** What an append may be asked for; the log sees to what each of it means. */
import { StratalogError, throwIfAborted } from '../base/errors.ts'
import type { Duration } from '../base/units.ts'
import type { AckLevel } from '../format/manifest.ts'
import { type Producer, producerIdProblem } from '../format/producer.ts'
import { assertKnownKeys, assertSignal, assertWhole } from './check-arguments.ts'

export interface AppendOptions {
  /** Default: by key on a log with one, else the partitions in turn. */
  readonly partition?: number
  /** Wait for this level instead of the one of the log. */
  readonly ack?: AckLevel
  /** In mode `memory`: the records are gone this long after the append. Default: the log's `ttl`. */
  readonly ttl?: Duration
  /** In mode `memory`: under eviction by priority, lower ones go first. Default: the log's `priority`. */
  readonly priority?: number
  /**
   * Of columns and Arrow data: their buffers are given away and never written to again. Then they are kept as they are,
   * without a copy, where they are big enough and fit the schema.
   */
  readonly adopt?: boolean
  /**
   * Makes a retry harmless: of appends with the same three numbers one is applied, and the others answer with where it
   * is. A producer counts its appends to each partition from 0 on; a higher epoch ends those of lower ones.
   */
  readonly producer?: Producer
  /**
   * Applied only where the next offset of the partition is this one; with several partitions and no key, name the
   * partition. Who reads, decides and appends so finds out when somebody else was faster.
   */
  readonly expectedOffset?: number
  /** Ends a wait for memory; nothing of the append is applied then, nor when it has fired before. */
  readonly signal?: AbortSignal
}

const KEYS: Readonly<Record<keyof AppendOptions, true>> = {
  partition: true,
  ack: true,
  ttl: true,
  priority: true,
  adopt: true,
  producer: true,
  expectedOffset: true,
  signal: true,
}

const PRODUCER_KEYS: Readonly<Record<keyof Producer, true>> = {
  producerId: true,
  epoch: true,
  sequence: true,
}

/**
 * The options as they are now: the caller's producer may count on while the append waits.
 * @throws StratalogError `argument_invalid` for options that an append does not know, `aborted`.
 */
export function checkedAppendOptions(options: AppendOptions): AppendOptions {
  assertAppendOptions(options)
  if (options.producer === undefined) return options
  const { producerId, epoch, sequence } = options.producer
  const producer = { producerId, epoch, sequence }
  assertProducer(producer)
  return { ...options, producer }
}

function assertAppendOptions(options: AppendOptions): void {
  assertKnownKeys(options, KEYS, 'append')
  const { signal, adopt, producer, expectedOffset } = options
  if (adopt !== undefined && typeof adopt !== 'boolean') {
    throw new StratalogError('argument_invalid', 'adopt is true or false.')
  }
  if (producer !== undefined) assertKnownKeys(producer, PRODUCER_KEYS, 'producer')
  if (expectedOffset !== undefined) assertWhole(expectedOffset, 'expectedOffset')
  if (signal === undefined) return
  assertSignal(signal)
  throwIfAborted(signal)
}

function assertProducer({ producerId, epoch, sequence }: Producer): void {
  const problem = typeof producerId === 'string' ? producerIdProblem(producerId) : 'is no text'
  if (problem !== null)
    throw new StratalogError('argument_invalid', `producer.producerId ${problem}.`)
  assertWhole(epoch, 'producer.epoch')
  assertWhole(sequence, 'producer.sequence')
}
