/** Batches with no more columns than a query reads: each column of each batch takes time to send to its worker. */
import { present } from '../base/assert.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import type { Schema } from '../format/schema.ts'

interface NarrowSchema {
  readonly schema: Schema
  /** Of its fields in the wider one. */
  readonly positions: readonly number[]
}

export class NarrowBatches {
  readonly #fields: ReadonlySet<string>
  /** One for all batches of a schema, which is then sent once. */
  readonly #schemas = new Map<Schema, NarrowSchema>()

  constructor(fields: readonly string[]) {
    this.#fields = new Set(fields)
  }

  of(batch: RecordBatch): RecordBatch {
    const { schema, positions } = this.#schemas.get(batch.schema) ?? this.#narrow(batch.schema)
    const columns = positions.map((position) => present(batch.columns[position], 'a column'))
    return { ...batch, schema, columns }
  }

  #narrow(schema: Schema): NarrowSchema {
    const positions = [...schema.fields.keys()].filter((position) =>
      this.#fields.has(schema.fields[position]?.name ?? ''),
    )
    const fields = positions.map((position) => present(schema.fields[position], 'a field'))
    const narrow = { schema: { ...schema, fields }, positions }
    this.#schemas.set(schema, narrow)
    return narrow
  }
}
