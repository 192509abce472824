/** An inspection for people: the facts as `name  value` lines, nested ones as tables. */
import { renderTable } from '../output/table.ts'
import type { Inspection } from './inspection.ts'

const TABLE_ROWS_MAX = 40

export function inspectionText({ report }: Inspection): string {
  const simple = Object.entries(report).filter(([, value]) => !isNested(value))
  const nested = Object.entries(report).filter(([, value]) => isNested(value))
  const width = Math.max(...simple.map(([name]) => name.length))
  const lines = simple.map(([name, value]) => `${name.padEnd(width)}  ${String(value)}\n`)
  return `${lines.join('')}${nested.map(([name, value]) => nestedText(name, value)).join('')}`
}

function isNested(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function nestedText(name: string, value: unknown): string {
  const items = Array.isArray(value)
    ? (value as readonly unknown[])
    : Object.entries(value as object)
  if (items.length === 0) return ''
  const rows = items.map(toRow)
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))]
  const shown = rows
    .slice(0, TABLE_ROWS_MAX)
    .map((row) => columns.map((column) => cell(row[column])))
  const more =
    rows.length > TABLE_ROWS_MAX
      ? `… and ${rows.length - TABLE_ROWS_MAX} more; see all of them with --json\n`
      : ''
  return `\n${name}\n${renderTable(
    columns.map((column) => ({ name: column })),
    shown,
  )}${more}`
}

function toRow(item: unknown): Readonly<Record<string, unknown>> {
  if (Array.isArray(item)) return { name: item[0] as unknown, value: item[1] as unknown }
  return typeof item === 'object' && item !== null
    ? (item as Record<string, unknown>)
    : { value: item }
}

function cell(value: unknown): string | null {
  if (value === undefined || value === null) return null
  return typeof value === 'string' ? value : JSON.stringify(value)
}
