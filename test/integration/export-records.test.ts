/** `exportRecords`: a log as the bytes of a file, as other programs read them. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { tableFromIPC } from 'apache-arrow'
import { expect, test } from 'vitest'
import { type ExportFormat, Stratalog, exportRecords } from '../../src/index.ts'
import { scanFile } from '../../src/query/file-scan.ts'
import { toNdjson } from '../../src/query/ndjson.ts'
import { all } from '../support/all.ts'
import { jsonLines } from '../support/cli.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const records = Array.from({ length: 500 }, (_, n) => ({
  n,
  text: n % 3 === 0 ? null : `"${n}",\n`,
  at: new Date(1_700_000_000_000 + n),
}))

async function filled(): Promise<Stratalog> {
  const db = await Stratalog.memoryOnly()
  const log = await db.createLog('l', {
    schema: [
      { name: 'n', type: 'int32', nullable: false },
      { name: 'text', type: 'utf8', nullable: true },
      { name: 'at', type: 'timestamp[ms]', nullable: false },
    ],
  })
  for (let start = 0; start < 500; start += 100) await log.append(records.slice(start, start + 100))
  return db
}

test('every format has every record, and says how far it is', async () => {
  const directory = await temporaryDirectory()
  await using db = await filled()
  const expected = records.map(({ n, text, at }) => ({ n, text, at: at.toISOString(), _offset: n }))
  const columns = ['n', 'text', 'at', '_offset']
  for (const format of ['ndjson', 'csv', 'parquet', 'arrow'] as const) {
    const path = join(directory, `l.${format}`)
    let told = { records: 0, bytes: 0 }
    const onProgress = (progress: typeof told): void => void (told = progress)
    const pieces = await all(exportRecords(db.log('l'), { format, columns, onProgress }))
    const bytes = Buffer.concat(pieces)
    expect(told.records).toBe(500)
    expect(told.bytes).toBe(bytes.length)
    await writeFile(path, bytes)
    expect(await linesOf(format, path, bytes), format).toEqual(expected)
  }
})

async function linesOf(format: ExportFormat, path: string, bytes: Buffer): Promise<unknown> {
  if (format === 'ndjson') return jsonLines(bytes.toString())
  if (format === 'arrow') {
    return tableFromIPC(bytes)
      .toArray()
      .map(({ n, text, at, _offset }: Record<string, unknown>) => ({
        n,
        text,
        at: new Date(Number(at)).toISOString(),
        _offset: Number(_offset),
      }))
  }
  const lines: unknown[] = []
  for await (const { fields, columns, length } of scanFile(path, { format }))
    lines.push(...jsonLines(toNdjson({ names: fields.map(({ name }) => name), columns, length })))
  return lines
}

test('a range is chosen as it is read, a log without records has its columns', async () => {
  await using db = await filled()
  const some = exportRecords(db.log('l'), {
    format: 'csv',
    from: 3,
    to: 5,
    columns: ['_offset', 'n'],
  })
  expect(Buffer.concat(await all(some)).toString()).toBe('_offset,n\r\n3,3\r\n4,4\r\n')
  const none = exportRecords(db.log('l'), { format: 'csv', from: 3, to: 3 })
  expect(Buffer.concat(await all(none)).toString()).toBe('n,text,at,_offset,_partition,_time\r\n')
})

test('a format that there is not is refused', async () => {
  await using db = await filled()
  const options = { format: 'xml' as ExportFormat }
  await expectError(all(exportRecords(db.log('l'), options)), 'argument_invalid')
})
