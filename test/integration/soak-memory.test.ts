import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { MemorySoakReport } from '../soak/memory.ts'
import { repositoryRoot } from '../support/repository.ts'

function soak(...options: string[]): MemorySoakReport {
  const output = execFileSync(
    process.execPath,
    [join(repositoryRoot, 'test/soak/main.ts'), 'memory', ...options],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  )
  return JSON.parse(output) as MemorySoakReport
}

test('the memory of the process stays under the budget and a constant, with 100 logs', () => {
  const report = soak('--logs', '100', '--records', '1500000', '--budget', '48MB')
  expect(report.violations).toEqual([])
  // It did evict, and read what was left.
  expect(report.evictedRecords).toBeGreaterThan(500_000)
  expect(report.readRecords).toBeGreaterThan(10_000)
})

test('the memory of the process stays under the budget and a constant, with 20,000 logs', () => {
  const report = soak('--logs', '20000', '--records', '800000', '--budget', '64MB')
  expect(report.violations).toEqual([])
  expect(report.evictedRecords).toBeGreaterThan(100_000)
})
