/** A pipe that the process was started with, by its descriptor: reading and writing block. */
import { readSync, writeSync } from 'node:fs'
import { StratalogError } from '../base/errors.ts'

export class NodeSyncPipe {
  readonly #descriptor: number

  constructor(descriptor: number) {
    this.#descriptor = descriptor
  }

  /** Waits until `bytes` is full. @throws StratalogError `aborted` when the other end is gone. */
  read(bytes: Uint8Array): void {
    for (let length = 0; length < bytes.length;) {
      const count = readSync(this.#descriptor, bytes, length, bytes.length - length, null)
      if (count === 0) throw new StratalogError('aborted', 'The other end of a pipe is gone.')
      length += count
    }
  }

  write(bytes: Uint8Array): void {
    for (let length = 0; length < bytes.length;)
      length += writeSync(this.#descriptor, bytes, length, bytes.length - length, null)
  }
}
