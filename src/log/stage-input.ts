/** Puts what an append brings behind the committed rows of a batch of a schema that holds it, all or nothing. */
import type { LogDefinition } from '../format/manifest.ts'
import { type Row, inferFields } from '../format/schema-inference.ts'
import type { Schema } from '../format/schema.ts'
import { adoptableColumns } from './adopt-columns.ts'
import type { AppendInput } from './append-input.ts'
import { knownPlaces, rememberPlaces } from './column-places.ts'
import type { AppendFacts } from './hot-batch.ts'
import { nextSchema, schemaWith } from './next-schema.ts'
import type { Partition } from './partition.ts'
import { type ColumnInput, explainMismatch, pushColumns, pushRows } from './row-appender.ts'
import { type Staged, stagedIn } from './staged.ts'

/**
 * `current` is the log's newest schema; null before the first append of a log that was created without one.
 * @throws StratalogError `schema_mismatch`, `record_invalid`, `record_too_large`, `append_too_large`; BudgetExceeded;
 * and what a getter throws. Then nothing is staged.
 */
export function stageInput(
  definition: LogDefinition,
  current: Schema | null,
  partition: Partition,
  input: AppendInput,
  facts: AppendFacts,
): Staged {
  return input.kind === 'columns'
    ? stageColumns(definition, current, partition, input, facts)
    : stageRows(definition, current, partition, input.rows, facts.appendTime)
}

function stageRows(
  definition: LogDefinition,
  current: Schema | null,
  partition: Partition,
  rows: readonly Row[],
  appendTime: number,
): Staged {
  try {
    if (current !== null) {
      const batch = partition.openBatch(current)
      if (pushRows(batch, rows, appendTime) === 'ok') return stagedIn(batch, false)
    }
    const schema = nextSchema(
      definition,
      current,
      inferFields(rows, current, definition.timeColumn),
    )
    const batch = partition.openBatch(schema)
    const isNew = schema.id !== current?.id
    if (!isNew || pushRows(batch, rows, appendTime) !== 'ok')
      throw explainMismatch(rows, schema, batch)
    return stagedIn(batch, true)
  } catch (error) {
    // Wherever a getter threw: nothing stays staged, and no batch that was begun holds memory for nothing.
    partition.discardStaged()
    throw error
  }
}

function stageColumns(
  definition: LogDefinition,
  current: Schema | null,
  partition: Partition,
  input: ColumnInput,
  facts: AppendFacts,
): Staged {
  const known = current === null ? null : knownPlaces(current, input.fields)
  const schema =
    current === null || known === null ? schemaWith(definition, current, input.fields) : current
  const places = known ?? rememberPlaces(schema, input.fields)
  const isNew = schema.id !== current?.id
  const adoptable =
    input.adopt === true ? adoptableColumns(schema, input, places, facts.appendTime) : null
  if (adoptable !== null)
    return { batch: partition.adopt(schema, adoptable, facts), schema, isNew, isAdopted: true }
  const batch = partition.openBatch(schema)
  try {
    pushColumns(batch, input, facts.appendTime, places)
  } catch (error) {
    partition.discardStaged()
    throw error
  }
  return stagedIn(batch, isNew)
}
