/** An import that broke off before or after its append was applied goes on with each record once. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { StratalogError } from '../../../src/base/errors.ts'
import { seededRandom } from '../../../src/base/random.ts'
import type { AppendTarget } from '../../../src/cli/append-target.ts'
import { ImportNotes } from '../../../src/cli/input/import-notes.ts'
import { LogImporter, type SourceRecord } from '../../../src/cli/input/log-importer.ts'
import { Rejects } from '../../../src/cli/input/rejects.ts'
import { restOfRows } from '../../../src/cli/input/unfinished.ts'
import { expectError } from '../../support/expect-error.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const inputs = [{ name: 'a.ndjson', bytes: 10 }]

/** Takes an append of a producer once, refuses what is negative, and breaks where it is told to. */
class FakeLog {
  readonly values: unknown[] = []
  readonly #known = new Set<string>()
  breaksAt: { readonly value: number; readonly isApplied: boolean } | null = null

  readonly target = {
    partitions: 1,
    keyColumn: null,
    append: async (records: readonly { n: number }[], { producer }: { producer?: object }) => {
      const row = records.findIndex(({ n }) => n < 0)
      if (row !== -1) throw new StratalogError('record_invalid', 'negative', { details: { row } })
      const isBroken = records.some(({ n }) => n === this.breaksAt?.value)
      const key = JSON.stringify([producer, records.length])
      const isNew = !this.#known.has(key)
      if (isNew && (!isBroken || this.breaksAt?.isApplied === true)) {
        this.#known.add(key)
        this.values.push(...records.map(({ n }) => n))
      }
      if (isBroken) throw new StratalogError('server_unavailable', 'broken')
      return { partition: 0, offset: 0, count: records.length }
    },
  } as unknown as AppendTarget
}

const numbers = Array.from({ length: 20 }, (_, n) => (n === 7 ? -1 : n))
const rows: readonly SourceRecord[] = numbers.map((n, index) => ({
  file: 'a.ndjson',
  line: index + 1,
  record: { n },
  text: '',
}))

async function importRest(path: string, { target }: FakeLog): Promise<void> {
  const notes = await ImportNotes.open(path, 'l', inputs, seededRandom(1))
  const { signal } = new AbortController()
  const options = { batchRecords: 6, signal, clock: systemClock, notes }
  const importer = new LogImporter(target, new Rejects(null), options)
  const { again, next } = restOfRows(
    rows.filter(({ line }) => line >= notes.unfinished.from),
    notes.unfinished,
  )
  if (again.length > 0) await importer.addAgain(again)
  await importer.addRows(next)
  await importer.flush()
  await notes.finished()
}

test.each([
  { value: 2, isApplied: true },
  { value: 2, isApplied: false },
  { value: 6, isApplied: true },
  { value: 9, isApplied: true },
  { value: 9, isApplied: false },
  { value: 19, isApplied: true },
])('broken at $value, applied: $isApplied', async (breaksAt) => {
  const path = join(await temporaryDirectory(), 'resume')
  const log = new FakeLog()
  log.breaksAt = breaksAt
  await expectError(importRest(path, log), 'server_unavailable')
  log.breaksAt = null
  await importRest(path, log)
  expect(log.values).toEqual(numbers.filter((n) => n >= 0))
  const again = await ImportNotes.open(path, 'l', inputs, seededRandom(1))
  expect(again.isDone(0)).toBe(true)
})

test('a file that is none, or of another import, is refused and stays as it is', async () => {
  const path = join(await temporaryDirectory(), 'resume')
  for (const text of ['', '{}', 'null', '{"format":"stratalog-import-1","log":"l"}']) {
    writeFileSync(path, text)
    await expectError(ImportNotes.open(path, 'l', inputs, seededRandom(1)), 'input_invalid')
    expect(readFileSync(path, 'utf8')).toBe(text)
  }
})

test('the files and the log are those of the import that broke off', async () => {
  const path = join(await temporaryDirectory(), 'resume')
  await importRest(path, new FakeLog())
  const open = (log: string, bytes: number): Promise<unknown> =>
    ImportNotes.open(path, log, [{ name: 'a.ndjson', bytes }], seededRandom(1))
  await expectError(open('other', 10), 'input_invalid')
  await expectError(open('l', 11), 'input_invalid')
  await open('l', 10)
})
