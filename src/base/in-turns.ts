/** Long work on tens of MiB, a step at a time, so that it does not hold up appends. */
import type { Clock } from './clock.ts'

type Turns = Pick<Clock, 'yield'>

/** Copying or hashing this much takes a few tenths of a millisecond. */
export const TURN_BYTES: number = 256 * 1024

/** Runs all steps of `work`; whatever else is ready gets its turn between them. */
export async function inTurns<Result>(
  work: Generator<void, Result, void>,
  clock: Turns,
): Promise<Result> {
  for (;;) {
    const step = work.next()
    if (step.done === true) return step.value
    await clock.yield()
  }
}

/** Calls `take` with one part of the bytes after the other, in steps. */
export function* partsInTurns(
  bytes: Uint8Array,
  take: (part: Uint8Array, position: number) => void,
): Generator<void, void, void> {
  for (let position = 0; position < bytes.length; position += TURN_BYTES) {
    take(bytes.subarray(position, position + TURN_BYTES), position)
    if (position + TURN_BYTES < bytes.length) yield
  }
}

/** Pieces as one. `pieces` is empty after that: each may go as soon as it is copied. */
export async function joinInTurns(pieces: Uint8Array[], clock: Turns): Promise<Uint8Array> {
  const [only] = pieces
  if (only === undefined || pieces.length > 1) return inTurns(joinSteps(pieces), clock)
  pieces.length = 0
  return only
}

function* joinSteps(pieces: Uint8Array[]): Generator<void, Uint8Array, void> {
  const joined = Buffer.allocUnsafeSlow(pieces.reduce((sum, { length }) => sum + length, 0))
  let end = 0
  let unyielded = 0
  for (const [index, piece] of pieces.entries()) {
    unyielded += Math.min(piece.length, TURN_BYTES)
    if (unyielded > TURN_BYTES) {
      yield
      unyielded = Math.min(piece.length, TURN_BYTES)
    }
    const start = end
    yield* partsInTurns(piece, (part, position) => joined.set(part, start + position))
    end += piece.length
    pieces[index] = NOTHING
  }
  pieces.length = 0
  return joined
}

const NOTHING = new Uint8Array(0)
