/** What an append leaves behind that fails half way: nothing. */
import { expect, test } from 'vitest'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { expectError } from '../../support/expect-error.ts'
import { Surroundings, appendRows, liveLog, visibleRows } from '../../support/live-logs.ts'

const columnsOf = (log: LiveLog): string[] => (log.schema?.fields ?? []).map(({ name }) => name)

test('applies nothing when a getter throws at whichever look, whatever it gave before', async () => {
  const given = (code: number): (() => unknown) => {
    let left = code
    return () => {
      const turn = left % 3
      left = Math.floor(left / 3)
      if (turn === 2) throw new Error('no value')
      return turn === 1 ? 'text' : 5
    }
  }
  for (let code = 0; code < 3 ** 5; code++) {
    const around = new Surroundings()
    const log = liveLog(around)
    await appendRows(log, [{ a: 1, b: 2 }])
    const look = given(code)
    const shifty = {
      a: 4,
      get b(): unknown {
        return look()
      },
    }
    const outcome = await appendRows(log, [{ a: 3, b: 3 }, shifty]).catch(() => null)
    await appendRows(log, [{ a: 6, b: 7 }])
    const kept = outcome === null ? [1, 6] : [1, 3, 4, 6]
    expect(visibleRows(log).map((row) => row['a'])).toEqual(kept)
  }
})

test('holds no memory for an append that did not fit', async () => {
  const around = new Surroundings()
  const log = liveLog(around, {
    schemas: [
      {
        id: 0,
        fields: [
          { name: 'a', type: 'int32', nullable: true },
          { name: '_time', type: 'timestamp[ms]', nullable: false },
        ],
      },
    ],
  })
  await expectError(appendRows(log, [{ a: 1 }, { a: 'text' }]), 'schema_mismatch')
  expect(around.pool.usedBytes).toBe(0)
})

test('takes no schema from rows whose terms find no room', async () => {
  const around = new Surroundings()
  const log = liveLog(around)
  await appendRows(log, [{ a: 1 }])
  const terms = { expiresAt: 5_000, priority: 1 }
  const append = (): Promise<unknown> => appendRows(log, [{ a: 2, b: 'new' }], 0, 1_000, terms)
  // Room for the rows and not for their terms: a little more each time, until it is enough.
  let refusals = 0
  for (let bytes = 0; ; bytes += 8) {
    around.pool.limit = around.pool.usedBytes + bytes
    const used = around.pool.usedBytes
    if (
      await append().then(
        () => true,
        () => false,
      )
    )
      break
    refusals++
    expect(around.pool.usedBytes).toBeLessThanOrEqual(used)
    expect(columnsOf(log)).toEqual(['a', '_time'])
  }
  expect(refusals).toBeGreaterThan(2)
  expect(columnsOf(log)).toEqual(['a', 'b', '_time'])
})
