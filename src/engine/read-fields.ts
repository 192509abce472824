import type { Field } from '../format/schema.ts'
import { DEFAULT_SYSTEM_COLUMNS } from './batch-layout.ts'
import type { LogDescription } from './log-description.ts'
import { isSystemColumn, systemField } from './system-columns.ts'

/** The columns of a read, also of one that gives no batch; `names` are those that were asked for. */
export function readFields(
  { schema, timeColumn }: Pick<LogDescription, 'schema' | 'timeColumn'>,
  names?: readonly string[],
): readonly Field[] {
  const time = schema.find(({ name }) => name === timeColumn)
  const wanted = names ?? [...schema.map(({ name }) => name), ...DEFAULT_SYSTEM_COLUMNS]
  return wanted.flatMap((name) => {
    if (isSystemColumn(name)) return systemField(name, time)
    return schema.find((field) => field.name === name) ?? []
  })
}
