/**
 * What is true of the records, computed from the source rows by an implementation of its own: the content hash as
 * docs/formats.md defines it, counts, and the answers to the demo's questions. It shares no code with the engine.
 */
import { type Hash, createHash } from 'node:crypto'
import type { FlightRows } from './flights.ts'

/** The first `records` records, as facts. */
export interface Truth {
  readonly records: number
  readonly hash: string
  /** Bytes of the values: eight a number, and the text. */
  readonly bytes: number
  readonly delaySum: number
  readonly distanceMax: number
  /** By name of the airport: departures. */
  readonly departures: ReadonlyMap<string, number>
  /** By month from 1 to 12: flights, and those that were over an hour late. */
  readonly months: ReadonlyMap<number, { readonly flights: number; readonly late: number }>
}

const LATE_MINUTES = 60

/** Goes through the rows once, and tells the truth about any prefix on the way. */
export class Oracle {
  readonly #rows: AsyncIterator<FlightRows>
  readonly #columns = {
    date: new FixedHash('date', 'timestamp[us]'),
    delay: new FixedHash('delay', 'int64'),
    destination: new TextHash('destination'),
    distance: new FixedHash('distance', 'int64'),
    origin: new TextHash('origin'),
  }
  #chunk: FlightRows | null = null
  #taken = 0
  #records = 0
  #delaySum = 0
  #distanceMax = 0
  readonly #departures = new Map<string, number>()
  readonly #months = new Map<number, { flights: number; late: number }>()

  constructor(rows: AsyncIterable<FlightRows>) {
    this.#rows = rows[Symbol.asyncIterator]()
  }

  /** The truth about the first `records` records; `records` never goes down. */
  async truthAt(records: number): Promise<Truth> {
    while (this.#records < records) {
      if (this.#chunk === null || this.#taken === this.#chunk.length) {
        const next = await this.#rows.next()
        if (next.done === true) break
        this.#chunk = next.value
        this.#taken = 0
      }
      const end = Math.min(this.#chunk.length, this.#taken + records - this.#records)
      this.#take(sliceRows(this.#chunk, this.#taken, end))
      this.#taken = end
    }
    return {
      records: this.#records,
      hash: this.#hash(),
      bytes: Object.values(this.#columns).reduce((sum, column) => sum + column.bytes, 0),
      delaySum: this.#delaySum,
      distanceMax: this.#distanceMax,
      departures: new Map(this.#departures),
      months: new Map([...this.#months].map(([month, facts]) => [month, { ...facts }])),
    }
  }

  #take(rows: FlightRows): void {
    const { date, delay, destination, distance, origin } = this.#columns
    date.add(rows.date)
    delay.add(rows.delay)
    destination.add(rows.destination)
    distance.add(rows.distance)
    origin.add(rows.origin)
    for (let row = 0; row < rows.length; row++) this.#count(rows, row)
    this.#records += rows.length
  }

  #count(rows: FlightRows, row: number): void {
    const delay = Number(rows.delay[row])
    this.#delaySum += delay
    this.#distanceMax = Math.max(this.#distanceMax, Number(rows.distance[row]))
    const origin = rows.origin[row] ?? ''
    this.#departures.set(origin, (this.#departures.get(origin) ?? 0) + 1)
    const month = new Date(Number(rows.date[row]) / 1000).getUTCMonth() + 1
    const facts = this.#months.get(month)
    if (facts === undefined) {
      this.#months.set(month, { flights: 1, late: delay > LATE_MINUTES ? 1 : 0 })
    } else {
      facts.flights++
      if (delay > LATE_MINUTES) facts.late++
    }
  }

  /** The log's hash: partition 0, one run from offset 0, columns in the order of their names. */
  #hash(): string {
    const columns = Object.values(this.#columns)
    const names = Buffer.from(JSON.stringify(columns.map(({ name, type }) => ({ name, type }))))
    const hash = createHash('sha256').update(uint32(names.length)).update(names)
    if (this.#records === 0) return hash.digest('hex')
    const run = Buffer.alloc(16)
    run.writeBigUInt64LE(BigInt(this.#records), 8)
    const partition = createHash('sha256').update(uint32(0)).update(uint32(1)).update(run)
    for (const column of columns) partition.update(column.digest())
    return hash.update(partition.digest()).digest('hex')
  }
}

/** A column of 64-bit numbers: presence and values. */
class FixedHash {
  readonly name: string
  readonly type: string
  bytes = 0
  readonly #presence: Hash = createHash('sha256')
  readonly #values: Hash = createHash('sha256')

  constructor(name: string, type: string) {
    this.name = name
    this.type = type
  }

  add(values: BigInt64Array): void {
    this.#presence.update(Buffer.alloc(values.length, 1))
    this.#values.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    this.bytes += values.byteLength
  }

  digest(): Buffer {
    return createHash('sha256')
      .update(this.#presence.copy().digest())
      .update(this.#values.copy().digest())
      .digest()
  }
}

/** A column of text: presence, lengths and bytes. */
class TextHash {
  readonly name: string
  readonly type = 'utf8'
  bytes = 0
  readonly #presence: Hash = createHash('sha256')
  readonly #lengths: Hash = createHash('sha256')
  readonly #bytes: Hash = createHash('sha256')

  constructor(name: string) {
    this.name = name
  }

  add(texts: readonly string[]): void {
    const lengths = new Uint32Array(texts.length)
    for (let row = 0; row < texts.length; row++) {
      const length = Buffer.byteLength(texts[row] ?? '')
      lengths[row] = length
      this.bytes += length
    }
    this.#presence.update(Buffer.alloc(texts.length, 1))
    this.#lengths.update(new Uint8Array(lengths.buffer))
    this.#bytes.update(texts.join(''))
  }

  digest(): Buffer {
    const parts = [this.#presence, this.#lengths, this.#bytes]
    return parts
      .reduce((hash, part) => hash.update(part.copy().digest()), createHash('sha256'))
      .digest()
  }
}

function sliceRows(rows: FlightRows, start: number, end: number): FlightRows {
  if (start === 0 && end === rows.length) return rows
  return {
    length: end - start,
    date: rows.date.subarray(start, end),
    delay: rows.delay.subarray(start, end),
    distance: rows.distance.subarray(start, end),
    origin: rows.origin.slice(start, end),
    destination: rows.destination.slice(start, end),
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
