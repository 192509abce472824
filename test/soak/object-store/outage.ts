/** An hour without the object store, in simulated time: lag, then backpressure, then it drains to nothing. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { execPath } from 'node:process'
import { text } from 'node:stream/consumers'
import { AWAY_FROM, AWAY_TO, MAX_DISK_BYTES, type Outage } from '../../simulation/outage-child.ts'
import { repositoryRoot } from '../../support/repository.ts'
import { BrokenPromise } from './moves.ts'

export async function outage(): Promise<Outage> {
  const child = spawn(execPath, [join(repositoryRoot, 'test/simulation/outage-child.ts')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return JSON.parse(await text(child.stdout)) as Outage
}

/** @throws BrokenPromise. @returns how many appends were acknowledged. */
export async function surviveOutage(): Promise<number> {
  const { tries, looks, pending, failed, acknowledged, rows, replayed } = await outage()
  const promised: readonly (readonly [boolean, 'lost' | 'wrong' | 'hung', string, string])[] = [
    [isEqual(rows, acknowledged), 'lost', 'I1', 'what is there is not what was acknowledged'],
    [replayed === rows.length, 'lost', 'I10', `${replayed} of ${rows.length} are replayed`],
    [pending + failed === 0, 'hung', 'I12', `${pending} stay above, and ${failed} fail`],
    [looks.every(({ bytes }) => bytes <= MAX_DISK_BYTES), 'wrong', 'I11', 'the disk overflows'],
    [
      tries.every(({ refusal, at }) => refusal === null || (at > AWAY_FROM && at < AWAY_TO + 5)),
      'hung',
      'I12',
      'appends are refused though the store is there',
    ],
    [
      tries.some(({ refusal }) => refusal?.code === 'disk_budget_full'),
      'wrong',
      'I11',
      'nobody is held back though nothing leaves the disk',
    ],
  ]
  for (const [isKept, damage, invariant, message] of promised)
    if (!isKept) throw new BrokenPromise(damage, invariant, message)
  return acknowledged.length
}

function isEqual(one: Outage['rows'], other: Outage['rows']): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}
