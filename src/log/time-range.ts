import { type ColumnData, isValidAt } from '../format/column.ts'
import { type Schema, type TimestampUnit, timestampUnit } from '../format/schema.ts'

/** Least and greatest event time in whole ms, both inclusive; `min > max` when there is none. */
export interface TimeRange {
  readonly min: number
  readonly max: number
}

const UNITS_PER_MS: Readonly<Record<TimestampUnit, number>> = { s: 1e-3, ms: 1, us: 1e3, ns: 1e6 }

/** The event times of a growing number of rows, in the unit of their column; none where no column has them. */
export class EventTimes {
  /** Of the time column among the fields; -1 without one. */
  readonly index: number
  readonly #unitsPerMs: number
  #min = Infinity
  #max = -Infinity

  constructor(schema: Schema, index: number) {
    const unit = timestampUnit(schema.fields[index]?.type ?? 'int64')
    this.index = unit === null ? -1 : index
    this.#unitsPerMs = unit === null ? 1 : UNITS_PER_MS[unit]
  }

  get range(): TimeRange {
    return {
      min: Math.floor(this.#min / this.#unitsPerMs),
      max: Math.floor(this.#max / this.#unitsPerMs),
    }
  }

  add(time: number): void {
    if (time < this.#min) this.#min = time
    if (time > this.#max) this.#max = time
  }

  /** Null times count for nothing. */
  addColumn(column: ColumnData): void {
    const { values, validity, length } = column
    const halves = new Int32Array(values.buffer, values.byteOffset, length * 2)
    let min = this.#min
    let max = this.#max
    for (let row = 0; row < length; row++) {
      if (validity !== null && !isValidAt(column, row)) continue
      const time = (halves[row * 2 + 1] ?? 0) * 2 ** 32 + ((halves[row * 2] ?? 0) >>> 0)
      if (time < min) min = time
      if (time > max) max = time
    }
    this.#min = min
    this.#max = max
  }
}
