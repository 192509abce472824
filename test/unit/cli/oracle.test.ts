import { expect, test } from 'vitest'
import { FlightReader } from '../../../src/cli/demo/flight-columns.ts'
import { readFlightRows } from '../../../src/cli/demo/flight-rows.ts'
import { FLIGHT_FIELDS, generateFlights } from '../../../src/cli/demo/flights.ts'
import { Oracle } from '../../../src/cli/demo/oracle.ts'
import { QUESTIONS } from '../../../src/cli/demo/questions.ts'
import { LogHasher } from '../../../src/format/content-hash.ts'

const SOURCE = { kind: 'generated', seed: 7 } as const
const RECORDS = 60_000

async function engineHash(records: number, pieceRows: number): Promise<string> {
  const schema = { id: 0, fields: FLIGHT_FIELDS }
  const hasher = new LogHasher(schema)
  const reader = new FlightReader(SOURCE, RECORDS)
  while (reader.position < records) {
    const baseOffset = reader.position
    const piece = await reader.next(Math.min(pieceRows, records - baseOffset))
    if (piece === null) break
    hasher.add(0, {
      schema,
      baseOffset,
      length: piece.length,
      columns: piece.columns,
      appendTimeMin: 0,
      appendTimeMax: 0,
    })
  }
  return hasher.digestHex()
}

test('the oracle hashes any prefix as docs/formats.md says, whatever the pieces', async () => {
  const oracle = new Oracle(readFlightRows(SOURCE, RECORDS))
  for (const records of [1, 777, 50_001, RECORDS]) {
    expect((await oracle.truthAt(records)).hash).toBe(await engineHash(records, 7_919))
  }
})

test('the generated set is the same for the same seed and another for another', async () => {
  const first = generateFlights(1, 100).next().value
  expect(generateFlights(1, 100).next().value).toEqual(first)
  expect(generateFlights(2, 100).next().value).not.toEqual(first)
})

test('an answer that is off by one is wrong', async () => {
  const truth = await new Oracle(readFlightRows(SOURCE, 1_000)).truthAt(1_000)
  const answer = (flights: number): Parameters<(typeof QUESTIONS)[number]['isRight']>[0] => ({
    elapsedMs: 0,
    recordsByTier: { memory: 0, disk: 0, object: 0 },
    columns: [],
    rows: [[flights, String(truth.delaySum), truth.distanceMax]],
  })
  expect(QUESTIONS[0]?.isRight(answer(1_000), truth)).toBe(true)
  expect(QUESTIONS[0]?.isRight(answer(999), truth)).toBe(false)
})
