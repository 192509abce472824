/** Data of unusual shapes comes back the same from RAM, from the WAL, from disk and from the archive. */
import { isDeepStrictEqual } from 'node:util'
import { expect, test } from 'vitest'
import { COLUMNS_MAX } from '../../src/format/limits.ts'
import {
  type Appendable,
  type ColumnType,
  type CreateLogOptions,
  type RecordRow,
  Stratalog,
} from '../../src/index.ts'
import { EVERY_TYPE, sampleColumn, withDictionary } from '../support/sample-batches.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const AT_ONCE = { memoryTtl: 0, diskAfter: 0, archiveAfter: 0, diskTtl: 0 }
const EVERYTHING = Object.fromEntries(
  EVERY_TYPE.map((type, index): [string, ColumnType] => [`c${index}`, type]),
)

function repeated(count: number, row: (index: number) => RecordRow): RecordRow[] {
  return Array.from({ length: count }, (_, index) => row(index))
}

function dictionaryColumns(): Appendable {
  const texts = repeated(3_000, (row) => ({ text: row % 5 === 0 ? null : `word ${row % 3}` })).map(
    ({ text }) => text as string | null,
  )
  const column = withDictionary(sampleColumn('utf8', texts), texts)
  return {
    fields: [{ name: 'word', type: 'utf8', nullable: true }],
    columns: [column],
    length: texts.length,
  }
}

const SHAPES: Readonly<
  Record<string, { readonly options?: CreateLogOptions; readonly appends: readonly Appendable[] }>
> = {
  'one-null-of-everything': { options: { schema: EVERYTHING }, appends: [{}] },
  'many-nulls-of-everything': {
    options: { schema: EVERYTHING },
    appends: [repeated(2_000, () => ({}))],
  },
  'no-columns': { appends: [repeated(500, () => ({}))] },
  'a-column-that-comes-and-goes': {
    appends: [
      repeated(700, (n) => ({ n, a: 'x' })),
      repeated(700, (n) => ({ n })),
      repeated(700, (n) => ({ n, b: `b${n % 3}` })),
    ],
  },
  'empty-values': { appends: [repeated(3_000, () => ({ s: '', y: new Uint8Array(0), j: [] }))] },
  'an-append-of-many-batches': {
    appends: [repeated(70_000, (n) => ({ n, s: `value ${n % 7}` }))],
  },
  'huge-values': { appends: [{ s: 'x'.repeat(9 << 20) }] },
  words: { appends: [dictionaryColumns()] },
  floats: { appends: [[NaN, -0, 0, Infinity, -Infinity, null, 5e-324].map((d) => ({ d }))] },
  integers: {
    options: { schema: { l: 'int64', u: 'uint64', d: 'decimal(38,2)' } },
    appends: [
      [
        { l: 2n ** 63n - 1n, u: 2n ** 64n - 1n, d: '-999999999999999999999999999999999999.99' },
        { l: -(2n ** 63n), u: 0 },
      ],
    ],
  },
  'times-in-seconds': {
    options: { timeColumn: 't', schema: { t: 'timestamp[s]' } },
    appends: [[2n ** 62n, -(2n ** 63n), 0n].map((t) => ({ t }))],
  },
  'times-in-ns': {
    options: { timeColumn: 't', schema: { t: 'timestamp[ns]' } },
    appends: [[2n ** 63n - 1n, -(2n ** 63n), -1n].map((t) => ({ t }))],
  },
  'days-before-1970': {
    options: { schema: { d: 'date' } },
    appends: [[{ d: '0001-01-01' }, { d: new Date(8.64e15) }]],
  },
  'odd-names': {
    appends: [{ 'a b"c\\\n': 1, é日本: 2, '😀': 3, toString: 4, ['x'.repeat(256)]: 5 }],
  },
  'as-many-columns-as-can-be': {
    appends: [
      Object.fromEntries(Array.from({ length: COLUMNS_MAX }, (_, index) => [`c${index}`, index])),
    ],
  },
  widened: {
    appends: [repeated(100, (n) => ({ n })), { n: 2 ** 40 }, repeated(100, (n) => ({ n }))],
  },
  text: {
    appends: [
      repeated(400, (n) => ({ s: String.fromCodePoint(0x1f600 + n), z: '\u0000'.repeat(n % 3) })),
    ],
  },
}

test('every shape is the same after each restart and each move', async () => {
  const root = await temporaryDirectory()
  const options = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
  const names = Object.keys(SHAPES)
  let db = await Stratalog.open(options)
  const rowsOf = async (from: {
    log(name: string): { read(): { toArray(): Promise<RecordRow[]> } }
  }): Promise<RecordRow[][]> => {
    const all: RecordRow[][] = []
    for (const name of names) all.push(await from.log(name).read().toArray())
    return all
  }
  const expectSame = async (where: string, found: Promise<RecordRow[][]>): Promise<void> => {
    const rows = await found
    // Looking for what differs would take longer than all the rest.
    const different = names.filter((_, index) => !isDeepStrictEqual(rows[index], expected[index]))
    expect(different, where).toEqual([])
  }
  for (const [name, { options: given, appends }] of Object.entries(SHAPES)) {
    const log = await db.createLog(name, { ...given, storage: AT_ONCE })
    for (const append of appends) await log.append(append)
  }
  const expected = await rowsOf(db)
  expect(expected.every((rows) => rows.length > 0)).toBe(true)
  await db.close()
  db = await Stratalog.open(options)
  await expectSame('from the WAL', rowsOf(db))
  expect(await db.tier.now({ to: 'disk' })).toMatchObject({ failed: [], pending: 0 })
  await db.tier.run()
  await expectSame('from disk', rowsOf(db))
  expect(await db.tier.now()).toMatchObject({ failed: [], pending: 0 })
  await db.tier.run()
  await expectSame('from the archive', rowsOf(db))
  await db.close()
  db = await Stratalog.open(options)
  await expectSame('after another restart', rowsOf(db))
  await db.close()
  await using archive = await Stratalog.openArchive(options.archive)
  await expectSame('from the archive alone', rowsOf(archive))
})
