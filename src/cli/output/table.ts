/** Tables for people: plain lines without colours, for dark and light terminals and for pipes. */
import Table from 'cli-table3'

export interface TableColumn {
  readonly name: string
  readonly align?: 'left' | 'right'
}

const CELL_CHARACTERS_MAX = 80

const LINES = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '─',
  'mid-mid': '──',
  right: '',
  'right-mid': '',
  middle: '  ',
}

/** A header, a line, the rows. Without rows, the header alone. */
export function renderTable(
  columns: readonly TableColumn[],
  rows: ReadonlyArray<readonly (string | null)[]>,
): string {
  if (columns.length === 0) return ''
  const table = new Table({
    head: columns.map((column) => column.name),
    colAligns: columns.map((column) => column.align ?? 'left'),
    chars: LINES,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
  })
  for (const row of rows) table.push(row.map((cell) => shown(cell)))
  const lines = table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
  return `${lines.filter((line) => line !== '').join('\n')}\n`
}

/** Control characters would move the cursor; a long text would push the others off the screen. */
function shown(cell: string | null): string {
  if (cell === null) return ''
  const clean = cell.replace(/[\u0000-\u001F\u007F-\u009F]/g, (character) =>
    JSON.stringify(character).slice(1, -1),
  )
  return clean.length <= CELL_CHARACTERS_MAX ? clean : `${clean.slice(0, CELL_CHARACTERS_MAX - 1)}…`
}
