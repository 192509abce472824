/**
 * One seed is one run: whatever a violation shows can be seen again, in another process, after other seeds or alone.
 * In processes of plain Node, because what a test runner puts around the loading of files takes real time.
 */
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { repositoryRoot } from '../support/repository.ts'

const SEEDS = [
  ...Array.from({ length: 24 }, (_, index) => String(index + 1)),
  '16',
  '2069',
  '10079',
  '99999',
  '4000000000',
]

async function traces(seeds: readonly string[]): Promise<Record<string, string>> {
  const child = spawn(
    process.execPath,
    [join(repositoryRoot, 'test/simulation/trace-child.ts'), ...seeds],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  return JSON.parse(await text(child.stdout)) as Record<string, string>
}

test('a seed gives the same trace twice, whatever ran before it', async () => {
  const [first, second] = await Promise.all([traces(SEEDS), traces(SEEDS.toReversed())])
  expect(second).toEqual(first)
  // Other seeds give other traces.
  expect(new Set(Object.values(first)).size).toBe(new Set(SEEDS).size)
})
