/** The pages of the drills that a server made by itself, in a folder: the newest ones. */
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { replaceFile } from './replace-file.ts'

const PAGES_MAX = 30

/** Of ours; others are left alone. Names are in the order of time. */
const PAGE_PATTERN = /^drill-\d{8}T\d{9}Z\.html$/

/** @throws what the file system throws. */
export async function saveDrillPage(folder: string, endedAt: number, page: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const time = new Date(endedAt).toISOString().replaceAll(/[-:.]/g, '')
  await replaceFile(join(folder, `drill-${time}.html`), page)
  const pages = (await readdir(folder)).filter((name) => PAGE_PATTERN.test(name)).toSorted()
  for (const name of pages.slice(0, -PAGES_MAX)) await rm(join(folder, name))
}
