/**
 * Asks from time to time whether this engine still is the writer of its archive, so that one which archives nothing
 * learns of a newer writer too. It is one GET, of the next commit of the manifest, which is not there as long as nobody
 * else wrote; a commit of our own says the same, and puts the next look off. There is no look while the archive was
 * not reached since the engine was opened: it is claimed then.
 */
import type { Clock, Timer } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import type { ArchiveWriter } from '../tiering/archive-writer.ts'

export class FenceWatch {
  readonly #archive: Pick<ArchiveWriter, 'provenAt' | 'prove'>
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #intervalMs: number
  #timer: Timer | null = null
  #looking: Promise<void> = Promise.resolve()
  #isClosed = false

  constructor(
    archive: Pick<ArchiveWriter, 'provenAt' | 'prove'>,
    clock: Clock,
    logger: Logger,
    intervalMs: number,
  ) {
    this.#archive = archive
    this.#clock = clock
    this.#logger = logger
    this.#intervalMs = intervalMs
  }

  start(): void {
    this.#arm(this.#restMs())
  }

  /** Waits for a look that is under way. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.#looking
  }

  #arm(delayMs: number): void {
    if (this.#isClosed) return
    this.#timer = this.#clock.setTimer(delayMs, () => {
      this.#looking = this.#look()
    })
  }

  /** Until the next look. */
  #restMs(): number {
    const { provenAt } = this.#archive
    if (provenAt === null) return this.#intervalMs
    return Math.max(0, provenAt + this.#intervalMs - this.#clock.monotonic())
  }

  async #look(): Promise<void> {
    const restMs = this.#archive.provenAt === null ? this.#intervalMs : this.#restMs()
    if (restMs > 0) {
      this.#arm(restMs)
      return
    }
    try {
      await this.#archive.prove()
      this.#arm(this.#restMs())
    } catch (error) {
      // A newer writer closes the engine's fence by itself; there is nothing more to look for then.
      this.#logger.debug('The archive could not be asked for its writer.', {
        reason: String(error),
      })
      this.#arm(this.#intervalMs)
    }
  }
}
