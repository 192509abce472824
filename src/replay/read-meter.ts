/** Watches when the bytes of a view come, so that a replay can tell waiting for them from decoding them. */
import type { Clock } from '../base/clock.ts'
import type { LogView, SegmentBytes, ViewSource } from '../log/log-view.ts'

export class ReadMeter {
  /** Monotonic ms at which bytes came last. */
  lastReadMs: number = -Infinity
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The same view, watched. */
  watch(view: LogView): LogView {
    const { definition, schema, schemas } = view
    const partitions = view.partitions.map((partition) => ({
      ...partition,
      sources: partition.sources.map((source) => this.#source(source)),
    }))
    return { definition, schema, schemas, partitions, release: () => view.release() }
  }

  #source(source: ViewSource): ViewSource {
    if (source.tier === 'memory') return source
    const { bytes, fallback } = source
    const watched = { ...source, bytes: this.#bytes(bytes) }
    if (fallback === undefined) return watched
    return { ...watched, fallback: { ...fallback, bytes: this.#bytes(fallback.bytes) } }
  }

  #bytes(bytes: SegmentBytes): SegmentBytes {
    const noted = async <T>(reading: Promise<T>): Promise<T> => {
      try {
        return await reading
      } finally {
        this.lastReadMs = this.#clock.monotonic()
      }
    }
    const { readParts } = bytes
    return {
      position: bytes.position,
      length: bytes.length,
      path: bytes.path,
      read: (range, signal) => noted(bytes.read(range, signal)),
      ...(readParts === undefined
        ? {}
        : { readParts: (parts, signal) => noted(readParts.call(bytes, parts, signal)) }),
    }
  }
}
