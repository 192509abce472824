import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { saveDrillPage } from '../../../src/cli/drill-pages.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const START = Date.UTC(2026, 0, 31)

test('the newest pages are kept, and files of others are left alone', async () => {
  const folder = join(await temporaryDirectory(), 'pages')
  await saveDrillPage(folder, START, 'first')
  const name = 'drill-20260131T000000000Z.html'
  expect(readFileSync(join(folder, name), 'utf8')).toBe('first')
  for (const other of ['drill-notes.html', 'drill-20260131T000000000Z.md', 'a.html'])
    writeFileSync(join(folder, other), '')
  for (let day = 1; day <= 30; day++) await saveDrillPage(folder, START + day * 86_400_000, '')
  expect(existsSync(join(folder, name))).toBe(false)
  expect(readdirSync(folder)).toHaveLength(33)
  expect(readdirSync(folder)).toContain('drill-20260201T000000000Z.html')
})
