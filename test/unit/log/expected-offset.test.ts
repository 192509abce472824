/** The offset that an append expects is looked at when it is applied, not when it was asked for. */
import { expect, test } from 'vitest'
import type { AppendResult, LiveLog } from '../../../src/log/live-log.ts'
import { expectError } from '../../support/expect-error.ts'
import { Surroundings, liveLog, visibleRows } from '../../support/live-logs.ts'

function appendAt(log: LiveLog, n: number, expectedOffset: number): Promise<AppendResult> {
  const terms = { expiresAt: Infinity, priority: 0, expectedOffset }
  const input = { kind: 'rows', rows: [{ n }] } as const
  return log.append(log.partition(0), input, 'memory', 1_000, terms)
}

test('of two appends that waited for the same offset one is applied', async () => {
  const log = liveLog(new Surroundings())
  const gate = Promise.withResolvers<void>()
  const altered = log.alter(async () => {
    await gate.promise
    return { policy: log.policy, isDenseFromHere: false, isOwed: false }
  })
  const first = appendAt(log, 1, 0)
  const second = expectError(appendAt(log, 2, 0), 'offset_unexpected')
  const third = appendAt(log, 3, 1)
  gate.resolve()
  await altered
  expect([(await first).offset, (await third).offset]).toEqual([0, 1])
  expect((await second).details).toMatchObject({ partition: 0, expected: 0, actual: 1 })
  expect(visibleRows(log).map((row) => row['n'])).toEqual([1, 3])
})

test('an append that is refused holds no memory', async () => {
  const around = new Surroundings()
  await expectError(appendAt(liveLog(around), 1, 7), 'offset_unexpected')
  expect(around.pool.usedBytes).toBe(0)
})
