/**
 * How far event time has come. Each partition has the newest time that was read of it; the watermark is the least of
 * those, less the lateness, and never goes back. A partition that has been silent for long is left out until it speaks
 * again; when all are, nothing holds the newest time back. Pure.
 */
export class Watermark {
  readonly #latenessMs: number
  readonly #times: Float64Array
  readonly #isIdle: boolean[]
  #value: number

  /** @param times by partition, where a stream goes on; −Infinity for one that nothing was read of. */
  constructor(latenessMs: number, times: readonly number[], value: number = -Infinity) {
    this.#latenessMs = latenessMs
    this.#times = Float64Array.from(times)
    this.#isIdle = times.map(() => false)
    this.#value = value
  }

  get value(): number {
    return this.#value
  }

  /** The newest time that was read of a partition. */
  timeOf(partition: number): number {
    return this.#times[partition] ?? -Infinity
  }

  isIdle(partition: number): boolean {
    return this.#isIdle[partition] === true
  }

  /** The least time of the other partitions that are not silent; Infinity where there is none. */
  leastBeside(partition: number): number {
    let least = Infinity
    for (let other = 0; other < this.#times.length; other++)
      if (other !== partition && !this.isIdle(other)) least = Math.min(least, this.timeOf(other))
    return least
  }

  /** A partition is silent, or speaks again. */
  setIdle(partition: number, isIdle: boolean): void {
    if (this.#isIdle[partition] === isIdle) return
    this.#isIdle[partition] = isIdle
    this.#advance()
  }

  /** Times up to `time` were read of a partition. */
  observe(partition: number, time: number): void {
    if (!(time > this.timeOf(partition))) return
    this.#times[partition] = time
    this.#advance()
  }

  #advance(): void {
    let least = Infinity
    let newest = -Infinity
    for (let partition = 0; partition < this.#times.length; partition++) {
      const time = this.timeOf(partition)
      newest = Math.max(newest, time)
      if (!this.isIdle(partition)) least = Math.min(least, time)
    }
    const held = least === Infinity ? newest : least
    this.#value = Math.max(this.#value, held - this.#latenessMs)
  }
}
