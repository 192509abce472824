/**
 * Joins the pieces of a segment. One that is big is joined in memory that the next one of the same room gets again:
 * fresh memory for each has the garbage collector come each time, and holds up appends.
 */
import type { Clock } from '../base/clock.ts'
import { inTurns, partsInTurns } from '../base/in-turns.ts'

type Turns = Pick<Clock, 'yield'>

/** Below this a segment gets memory of its own, as long as it is: many of them wait for each other to share a pack. */
const ROOM_BYTES_MIN = 1024 * 1024

export interface JoinedPieces {
  /** Copies the piece. */
  add(piece: Uint8Array): Promise<void>
  /** All of them; from a room until it joins the next ones. */
  bytes(): Uint8Array
}

/** For segments that are made one after the other, each when the one before is stored. */
export class PieceRoom {
  #memory: Uint8Array = new Uint8Array(0)

  /** @param rawBytes about as long as they become at most. */
  joined(rawBytes: number, clock: Turns): JoinedPieces {
    return rawBytes < ROOM_BYTES_MIN ? smallPieces() : this.#bigPieces(rawBytes, clock)
  }

  #bigPieces(rawBytes: number, clock: Turns): JoinedPieces {
    let end = 0
    this.#grow(rawBytes, 0)
    return {
      add: async (piece) => {
        const start = end
        end += piece.length
        if (end > this.#memory.length) this.#grow(end + (end >> 3), start)
        const { buffer } = this.#memory
        const copy = (part: Uint8Array, position: number): void =>
          new Uint8Array(buffer, start + position, part.length).set(part)
        await inTurns(partsInTurns(piece, copy), clock)
      },
      bytes: () => this.#memory.subarray(0, end),
    }
  }

  #grow(bytes: number, filled: number): void {
    if (bytes <= this.#memory.length) return
    const memory = Buffer.allocUnsafeSlow(bytes)
    memory.set(this.#memory.subarray(0, filled))
    this.#memory = memory
  }
}

function smallPieces(): JoinedPieces {
  const pieces: Uint8Array[] = []
  return {
    add: async (piece) => {
      pieces.push(Uint8Array.from(piece))
    },
    bytes: () => (pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces)),
  }
}
