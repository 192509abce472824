/** The objects of a simulated bucket: strongly consistent, and no part of any process. */
export interface BucketObject {
  readonly bytes: Uint8Array
  readonly putId: string | null
  readonly sha256: string
}

export class SimulatedBucket {
  readonly #objects: Map<string, BucketObject>

  constructor(objects: ReadonlyMap<string, BucketObject> = new Map()) {
    this.#objects = new Map(objects)
  }

  get(key: string): BucketObject | undefined {
    return this.#objects.get(key)
  }

  set(key: string, object: BucketObject): void {
    this.#objects.set(key, object)
  }

  delete(key: string): void {
    this.#objects.delete(key)
  }

  /** In byte order; keys are ASCII. */
  keys(prefix: string): readonly string[] {
    return [...this.#objects.keys()].filter((key) => key.startsWith(prefix)).sort()
  }

  clone(): SimulatedBucket {
    return new SimulatedBucket(this.#objects)
  }
}
