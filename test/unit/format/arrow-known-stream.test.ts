import {
  Bool,
  type DataType,
  Dictionary,
  Float64,
  Int16,
  Int32,
  Int64,
  LargeUtf8,
  List,
  Field,
  RecordBatchStreamWriter,
  Table,
  TimestampMillisecond,
  Utf8,
  vectorFromArray,
} from 'apache-arrow'
import { expect, test } from 'vitest'
import { parseArrowIpc } from '../../../src/format/arrow-ipc.ts'
import { KnownStreams } from '../../../src/format/arrow-known-stream.ts'
import { columnProblem } from '../../../src/format/column-check.ts'
import { batchToRows } from '../../../src/format/column-values.ts'
import { END_OF_STREAM } from '../../../src/format/arrow-message.ts'

const VALUES: Readonly<Record<string, readonly [DataType, readonly unknown[]]>> = {
  small: [new Int16(), [1, null, -3, 4]],
  large: [new Int64(), [1n, 2n ** 60n, null, -4n]],
  real: [new Float64(), [0.5, -0, Number.NaN, null]],
  yes: [new Bool(), [true, null, false, true]],
  at: [new TimestampMillisecond(), [0, 1, 2, null]],
  text: [new Utf8(), ['a', '', null, 'ü – long enough']],
  longText: [new LargeUtf8(), ['a', null, 'b', 'c']],
  word: [new Dictionary(new Utf8(), new Int32()), ['x', 'y', null, 'x']],
  number: [new Dictionary(new Int32(), new Int16()), [7, 7, 8, null]],
}

function tableOf(names: readonly string[] = Object.keys(VALUES)): Table {
  const columns = names.map((name) => {
    const [type, values] = VALUES[name] ?? [new Utf8(), []]
    return [name, vectorFromArray([...values], type)] as const
  })
  return new Table(Object.fromEntries(columns))
}

async function streamOf(...tables: readonly Table[]): Promise<Uint8Array> {
  const writer = new RecordBatchStreamWriter()
  for (const table of tables) for (const batch of table.batches) writer.write(batch)
  writer.finish()
  return writer.toUint8Array()
}

/** As apache-arrow reads it, by a schema that no stream had before. */
async function known(bytes: Uint8Array): Promise<KnownStreams> {
  const { tableFromIPC } = await import('apache-arrow')
  const streams = new KnownStreams()
  expect(streams.read(bytes)).toBeNull()
  streams.note(bytes, tableFromIPC(bytes).schema)
  return streams
}

test('a stream whose schema is known is read as apache-arrow reads it', async () => {
  const table = tableOf()
  for (const bytes of [
    await streamOf(table),
    await streamOf(table, table.slice(1, 3)),
    (await streamOf(table)).slice(0, -END_OF_STREAM.length),
  ]) {
    const first = await parseArrowIpc(bytes)
    expect((await known(bytes)).read(bytes)).not.toBeNull()
    expect(await parseArrowIpc(bytes)).toEqual(first)
  }
})

test('a dictionary that grows or is replaced between batches has the words of its batch', async () => {
  const words = (...values: string[]): Table =>
    new Table({ word: vectorFromArray(values, new Dictionary(new Utf8(), new Int32(), 5)) })
  const bytes = await streamOf(words('a', 'b'), words('c', 'a'), words('b'))
  const [slow, fast] = [await parseArrowIpc(bytes), await parseArrowIpc(bytes)]
  expect((await known(bytes)).read(bytes)).toHaveLength(3)
  expect(fast).toEqual(slow)
  const rows = fast.flatMap((part) => {
    const schema = { id: 0, fields: part.fields }
    return batchToRows({ ...part, schema, baseOffset: 0, appendTimeMin: 0, appendTimeMax: 0 })
  })
  expect(rows.map(({ word }) => word)).toEqual(['a', 'b', 'c', 'a', 'b'])
})

test('what is not plain, and a stream without batches, is left to apache-arrow', async () => {
  const lists = new Table({
    list: vectorFromArray([[1], null], new List(new Field('item', new Int32(), true))),
  })
  for (const bytes of [await streamOf(lists), (await streamOf(tableOf())).slice(0, 0)])
    expect((await known(bytes)).read(bytes)).toBeNull()
  const whole = await streamOf(tableOf(['text']))
  const streams = await known(whole)
  const length = 8 + new DataView(whole.buffer, whole.byteOffset).getUint32(4, true)
  expect(streams.read(Buffer.concat([whole.subarray(0, length), END_OF_STREAM]))).toBeNull()
  expect(streams.read(whole.subarray(8))).toBeNull()
})

test('a damaged or cut stream of a known schema is refused, or read, as one of an unknown schema', async () => {
  const whole = await streamOf(tableOf(['small', 'text', 'word', 'yes']))
  const streams = await known(whole)
  expect(streams.read(whole)).not.toBeNull()
  for (let length = 0; length < whole.length; length += 3) streams.read(whole.subarray(0, length))
  await parseArrowIpc(whole)
  let refused = 0
  for (let position = 0; position < whole.length; position += 5) {
    const damaged = whole.slice()
    damaged[position] = (damaged[position] ?? 0) ^ 0x7f
    const parts = await parseArrowIpc(damaged).catch((error: unknown) => {
      expect(error).toMatchObject({ name: 'StratalogError' })
      refused++
      return []
    })
    for (const { columns } of parts)
      expect(columns.map(columnProblem)).toEqual(columns.map(() => null))
  }
  expect(refused).toBeGreaterThan(10)
})

test('the schemas that are known are few', async () => {
  const streams = new KnownStreams()
  const { tableFromIPC } = await import('apache-arrow')
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      streamOf(new Table({ [`column${index}`]: vectorFromArray([1], new Int32()) })),
    ),
  )
  for (const bytes of all) streams.note(bytes, tableFromIPC(bytes).schema)
  expect(all.filter((bytes) => streams.read(bytes) !== null)).toHaveLength(16)
})
