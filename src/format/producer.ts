/**
 * Idempotent producers, as values and as bytes.
 *
 * The stamp of an append, at the end of its WAL frame's payload (`wal-frame.ts` has its length). Little-endian.
 *
 *      0  u64  epoch
 *      8  u64  sequence
 *     16  u32  bytes of the id
 *     20  u32  zero
 *     24       id, UTF-8, then zeros to a multiple of 8
 *
 * What a partition remembers of a producer, in the manifest, is JSON:
 * `{"producerId","epoch","sequence","time","offsets":[…],"counts":[…]}`.
 */
import { StratalogError } from '../base/errors.ts'
import type { JsonFields } from './json-fields.ts'
import { PRODUCER_APPENDS_MAX, PRODUCER_ID_BYTES_MAX } from './limits.ts'

/** What a producer says of an append. */
export interface Producer {
  readonly producerId: string
  /** Of one life of the producer; a higher one fences all before. */
  readonly epoch: number
  /** Of the append among those of the epoch to one partition: 0, 1, 2, … */
  readonly sequence: number
}

/** What a partition remembers of a producer: its newest appends, whose sequences end with `sequence`. */
export interface ProducerState extends Producer {
  /** When the newest was appended, engine clock, ms. */
  readonly time: number
  /** Base offsets of the newest appends, oldest first: at least one, at most PRODUCER_APPENDS_MAX. */
  readonly offsets: readonly number[]
  /** How many records each of them has. */
  readonly counts: readonly number[]
}

const HEADER_BYTES = 24
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Why text is no id of a producer, or null. */
export function producerIdProblem(id: string): string | null {
  if (id === '') return 'is empty'
  if (!id.isWellFormed()) return 'has a lone surrogate'
  const bytes = Buffer.byteLength(id)
  return bytes <= PRODUCER_ID_BYTES_MAX
    ? null
    : `has ${bytes} bytes, and ${PRODUCER_ID_BYTES_MAX} are the most`
}

export function encodeProducer({ producerId, epoch, sequence }: Producer): Uint8Array {
  const id = encoder.encode(producerId)
  const bytes = new Uint8Array(HEADER_BYTES + id.length + (-id.length & 7))
  const view = new DataView(bytes.buffer)
  view.setBigUint64(0, BigInt(epoch), true)
  view.setBigUint64(8, BigInt(sequence), true)
  view.setUint32(16, id.length, true)
  bytes.set(id, HEADER_BYTES)
  return bytes
}

/** @throws StratalogError `wal_corrupt`. */
export function decodeProducer(bytes: Uint8Array): Producer {
  if (bytes.length < HEADER_BYTES) return corrupt(`it has ${bytes.length} bytes`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const length = view.getUint32(16, true)
  const end = HEADER_BYTES + length
  if (length > PRODUCER_ID_BYTES_MAX || end + (-length & 7) !== bytes.length)
    return corrupt(`its id has ${length} bytes`)
  const isPadded = bytes.subarray(end).every((byte) => byte === 0)
  if (!isPadded || view.getUint32(20, true) !== 0) return corrupt('it has unknown bits')
  const epoch = Number(view.getBigUint64(0, true))
  const sequence = Number(view.getBigUint64(8, true))
  if (!Number.isSafeInteger(epoch) || !Number.isSafeInteger(sequence))
    return corrupt('its numbers are out of range')
  const producerId = textOf(bytes.subarray(HEADER_BYTES, end))
  const problem = producerIdProblem(producerId)
  return problem === null ? { producerId, epoch, sequence } : corrupt(`its id ${problem}`)
}

export function producerJson(state: ProducerState): unknown {
  const { producerId, epoch, sequence, time, offsets, counts } = state
  return { producerId, epoch, sequence, time, offsets, counts }
}

export function producerOf(fields: JsonFields): ProducerState {
  const state = {
    producerId: fields.text('producerId'),
    epoch: fields.integer('epoch'),
    sequence: fields.integer('sequence'),
    time: fields.integer('time', Number.MIN_SAFE_INTEGER),
    offsets: fields.integers('offsets'),
    counts: fields.integers('counts', 1),
  }
  const { producerId, sequence, offsets, counts } = state
  const problem = producerIdProblem(producerId)
  if (problem !== null) fields.fail('producerId', problem)
  const isBounded = offsets.length >= 1 && offsets.length <= PRODUCER_APPENDS_MAX
  if (!isBounded || offsets.length > sequence + 1)
    fields.fail('offsets', 'has not as many appends as it can')
  if (counts.length !== offsets.length) fields.fail('counts', 'is not of as many appends')
  const isOrdered = offsets.every(
    (offset, index) => index === 0 || offset >= endOf(state, index - 1),
  )
  if (!isOrdered) fields.fail('offsets', 'do not ascend')
  fields.end()
  return state
}

/** Where the newest append ends that is remembered. */
export function producerEnd(state: ProducerState): number {
  return endOf(state, state.offsets.length - 1)
}

/**
 * The producers as they were when the partition ended at `end`. One of which nothing so old is remembered is left out:
 * what is unknown is refused, never taken for new.
 */
export function producersAsOf(states: Iterable<ProducerState>, end: number): ProducerState[] {
  const known: ProducerState[] = []
  for (const state of states) {
    const { length } = state.offsets
    let kept = length
    while (kept > 0 && endOf(state, kept - 1) > end) kept--
    if (kept === length) known.push(state)
    else if (kept > 0) known.push(withFirst(state, kept))
  }
  return known
}

function withFirst(state: ProducerState, kept: number): ProducerState {
  const { sequence, offsets, counts } = state
  return {
    ...state,
    sequence: sequence - (offsets.length - kept),
    offsets: offsets.slice(0, kept),
    counts: counts.slice(0, kept),
  }
}

function endOf({ offsets, counts }: ProducerState, index: number): number {
  return (offsets[index] ?? 0) + (counts[index] ?? 0)
}

function textOf(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch {
    return corrupt('its id is not UTF-8')
  }
}

function corrupt(reason: string): never {
  throw new StratalogError('wal_corrupt', `The producer of a WAL frame is damaged: ${reason}.`, {
    details: { reason },
  })
}
