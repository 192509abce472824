/**
 * Strict reading of JSON that we wrote ourselves: every field is asked for by name and type, and `end` refuses what is
 * left over, so a damaged or newer file is refused and never half understood.
 */

/** Throws the error of the format that is being read, naming its file. */
export type Fail = (reason: string, cause?: unknown) => never

const DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The JSON value in `bytes`, which must be well-formed UTF-8. */
export function parseJson(bytes: Uint8Array, fail: Fail): unknown {
  let text: string
  try {
    text = DECODER.decode(bytes)
  } catch {
    return fail('it is not UTF-8')
  }
  try {
    return JSON.parse(text) as unknown
  } catch {
    return fail('it is not JSON')
  }
}

/** The fields of one JSON object. Each is read at most once. */
export class JsonFields {
  readonly #object: Readonly<Record<string, unknown>>
  readonly #path: string
  readonly #fail: Fail
  #readCount = 0

  constructor(value: unknown, path: string, fail: Fail) {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      fail(`${path || 'it'} is not an object`)
    this.#object = value as Record<string, unknown>
    this.#path = path
    this.#fail = fail
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#object, name)
  }

  text(name: string): string {
    const value = this.#take(name)
    return typeof value === 'string' ? value : this.fail(name, 'is not text')
  }

  boolean(name: string): boolean {
    const value = this.#take(name)
    return typeof value === 'boolean' ? value : this.fail(name, 'is not true or false')
  }

  booleanOrNull(name: string): boolean | null {
    const value = this.#take(name)
    if (value === null || typeof value === 'boolean') return value
    return this.fail(name, 'is not true or false')
  }

  /** A safe integer of at least `min`. */
  integer(name: string, min = 0): number {
    return this.#integer(this.#join(name), this.#take(name), min)
  }

  integerOrNull(name: string, min = 0): number | null {
    const value = this.#take(name)
    return value === null ? null : this.#integer(this.#join(name), value, min)
  }

  number(name: string): number {
    const value = this.#take(name)
    return typeof value === 'number' ? value : this.fail(name, 'is not a number')
  }

  numberOrText(name: string): number | string {
    const value = this.#take(name)
    return typeof value === 'number' || typeof value === 'string'
      ? value
      : this.fail(name, 'is no number and no text')
  }

  textOrNull(name: string): string | null {
    const value = this.#take(name)
    return value === null || typeof value === 'string' ? value : this.fail(name, 'is not text')
  }

  oneOf<T extends string>(name: string, values: readonly T[]): T {
    const value = this.#take(name)
    const found = values.find((candidate) => candidate === value)
    return found ?? this.fail(name, `is none of ${values.join(', ')}`)
  }

  object(name: string): JsonFields {
    return new JsonFields(this.#take(name), this.#join(name), this.#fail)
  }

  objectOrNull(name: string): JsonFields | null {
    const value = this.#take(name)
    return value === null ? null : new JsonFields(value, this.#join(name), this.#fail)
  }

  objects(name: string): readonly JsonFields[] {
    return this.array(name, (value, path) => new JsonFields(value, path, this.#fail))
  }

  integers(name: string, min = 0): readonly number[] {
    return this.array(name, (value, path) => this.#integer(path, value, min))
  }

  arraysOfIntegers(name: string): readonly (readonly number[])[] {
    return this.array(name, (value, path) => {
      if (!Array.isArray(value)) return this.#fail(`${path} is not an array`)
      return value.map((item: unknown) => this.#integer(path, item, 0))
    })
  }

  texts(name: string): readonly string[] {
    return this.array(name, (value, path) =>
      typeof value === 'string' ? value : this.#fail(`${path} is not text`),
    )
  }

  array<T>(name: string, read: (value: unknown, path: string) => T): readonly T[] {
    const value = this.#take(name)
    if (!Array.isArray(value)) return this.fail(name, 'is not an array')
    return value.map((item: unknown, index) => read(item, `${this.#join(name)}[${index}]`))
  }

  /** Refuses fields that nobody asked for. */
  end(): void {
    const names = Object.keys(this.#object)
    if (names.length !== this.#readCount)
      this.#fail(`${this.#path || 'it'} has a field too many among ${names.join(', ')}`)
  }

  fail(name: string, reason: string): never {
    return this.#fail(`${this.#join(name)} ${reason}`)
  }

  #take(name: string): unknown {
    if (!Object.hasOwn(this.#object, name)) return this.fail(name, 'is missing')
    this.#readCount++
    return this.#object[name]
  }

  #integer(path: string, value: unknown, min: number): number {
    const isGood = typeof value === 'number' && Number.isSafeInteger(value) && value >= min
    return isGood ? value : this.#fail(`${path} is not a whole number of at least ${min}`)
  }

  #join(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`
  }
}
