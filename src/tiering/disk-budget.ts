/**
 * The byte budget of segment files on disk: counts what lies there and says what still fits.
 *
 * - A file counts from its rename on until it is removed: also one that no manifest came to name, which the next open
 *   removes, and one that a reader keeps after it was dropped.
 * - Between the watermarks it remembers which one was passed last, so that what is moved early is moved in one go.
 * - Where packs lie on disk it keeps room for one to be written anew, which takes as much as is live of it until it is
 *   gone: half of the greatest pack, that is a 32nd of the budget or 4 MiB.
 * - It does not hold while an engine opens, which may have to flush in order to have the memory, nor at closing, where
 *   the choice is between the line and records.
 */
import { DISK_PACK_BYTES_MAX } from '../format/limits.ts'
import { isPackPath } from '../format/paths.ts'
import type { DiskFacts } from './disk-pressure.ts'

/** Between the high and the low watermark, of the budget. */
const HYSTERESIS = 0.1

/** A pack on disk at most, of the budget. */
const PACK_SHARE = 1 / 16

export interface DiskBudgetOptions {
  /** Null: nothing is too much. */
  readonly maxBytes: number | null
  /** Fraction of it at which segments begin to move early. */
  readonly watermark: number
}

export class DiskBudget {
  readonly #maxBytes: number
  readonly #highBytes: number
  readonly #lowBytes: number
  /** Files that were written and that no manifest names yet, with their bytes: to write one again adds nothing. */
  readonly #unnamed = new Map<string, number>()
  #hasPacks = false
  #usedBytes = 0
  #comingBytes = 0
  #reservedBytes = 0
  #isHeld = false
  #isPressing = false

  constructor({ maxBytes, watermark }: DiskBudgetOptions) {
    this.#maxBytes = maxBytes ?? Infinity
    this.#highBytes = this.#maxBytes * watermark
    this.#lowBytes = this.#maxBytes * Math.max(watermark / 2, watermark - HYSTERESIS)
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Infinity without a budget. */
  get maxBytes(): number {
    return this.#maxBytes
  }

  /** A pack that is written now holds so much at most. */
  get packBytesMax(): number {
    return Math.min(DISK_PACK_BYTES_MAX, this.#maxBytes * PACK_SHARE)
  }

  /** Whether all that lies there, also what readers hold or packs do, is above the watermark. */
  get isShort(): boolean {
    return this.#isHeld && this.#usedBytes >= this.#highBytes
  }

  /** What may be written to take the place of packs. */
  get rewriteBytes(): number {
    if (!this.#isHeld) return Infinity
    return Math.max(0, this.#maxBytes - this.#usedBytes - this.#reservedBytes)
  }

  /** From here on it holds. @param usedBytes of all segment files that a manifest names. */
  hold(usedBytes: number, hasPacks = false): void {
    this.#hasPacks ||= hasPacks
    this.#usedBytes = usedBytes
    this.#unnamed.clear()
    this.#isHeld = true
    this.#look()
  }

  /** From here on anything fits. */
  lift(): void {
    this.#isHeld = false
  }

  /** A segment file has its name. */
  written(path: string, bytes: number): void {
    this.#hasPacks ||= isPackPath(path)
    this.#usedBytes += bytes - (this.#unnamed.get(path) ?? 0)
    this.#unnamed.set(path, bytes)
    this.#look()
  }

  /** A manifest names the file. */
  named(path: string): void {
    this.#unnamed.delete(path)
  }

  /** The manifest names a file no more; what is returned is called when it is gone. */
  dropped(bytes: number): () => void {
    this.#comingBytes += bytes
    this.#look()
    return () => {
      this.#comingBytes -= bytes
      this.#usedBytes -= bytes
      this.#look()
    }
  }

  /** Keeps room for what is about to be written; what is returned gives it back. */
  reserve(bytes: number): () => void {
    this.#reservedBytes += bytes
    return () => {
      this.#reservedBytes -= bytes
    }
  }

  facts(): DiskFacts {
    const isHeld = this.#isHeld && this.#maxBytes < Infinity
    const pressing = isHeld && this.#isPressing ? this.#pressing - this.#lowBytes : 0
    return {
      usedBytes: this.#usedBytes,
      maxBytes: this.#maxBytes,
      roomBytes: isHeld
        ? Math.max(0, this.rewriteBytes - (this.#hasPacks ? this.packBytesMax / 2 : 0))
        : Infinity,
      excessBytes: Math.max(0, pressing),
      lowBytes: this.#lowBytes,
    }
  }

  /** What readers still hold of dropped files is as good as gone, until the line is reached. */
  get #pressing(): number {
    const isAtLine = this.#usedBytes >= this.#maxBytes
    return isAtLine ? this.#usedBytes : this.#usedBytes - this.#comingBytes
  }

  #look(): void {
    const pressing = this.#pressing
    if (pressing >= this.#highBytes) this.#isPressing = true
    else if (pressing <= this.#lowBytes) this.#isPressing = false
  }
}
