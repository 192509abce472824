/** What tests read out of Markdown: the table of errors, the index, the links and the examples. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { lineAt, type SourceFile } from './source-text.ts'

export interface ErrorTableRow {
  readonly code: string
  readonly kind: string
}

/** The rows of docs/errors.md: the code in backticks, then its kind. */
export function errorTableRows(page: string): ErrorTableRow[] {
  return [...page.matchAll(/^\| `(\w+)` \| (\w+) \|/gm)].map((match) => ({
    code: match[1] ?? '',
    kind: match[2] ?? '',
  }))
}

/** The pages that docs/README.md links to, as paths from docs. */
export function indexedPages(page: string): string[] {
  return [...new Set(linksOf(page).map(({ target }) => target.replace(/#.*/, '')))].filter(
    (target) => target.endsWith('.md') && !target.startsWith('..'),
  )
}

/** Relative links that lead nowhere, and anchors of the same page without a heading. */
export function brokenLinks(page: SourceFile, root: string): string[] {
  return linksOf(page.text).flatMap(({ target, line }) => {
    const [path = '', anchor] = target.split('#')
    const place = `${page.path}:${line}`
    if (path !== '' && !existsSync(join(root, dirname(page.path), path))) {
      return [`${place}: ${path} does not exist`]
    }
    if (anchor === undefined) return []
    const text =
      path === '' ? page.text : readFileSync(join(root, dirname(page.path), path), 'utf8')
    const named = path === '' ? 'this page' : path
    return anchorsOf(text).has(anchor) ? [] : [`${place}: #${anchor} is no heading of ${named}`]
  })
}

export interface DocsExample {
  readonly path: string
  readonly line: number
  readonly code: string
}

/** The examples of a page that are marked to be run: fenced blocks that open with ```ts run. */
export function runnableExamples(page: SourceFile): DocsExample[] {
  return [...page.text.matchAll(/^```ts run\n([\s\S]*?)^```$/gm)].map((match) => ({
    path: page.path,
    line: lineAt(page.text, match.index),
    code: match[1] ?? '',
  }))
}

function linksOf(text: string): { readonly target: string; readonly line: number }[] {
  const prose = text.replace(/^```[\s\S]*?^```$/gm, (block) => block.replace(/[^\n]/g, ' '))
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map((match) => ({ target: match[1] ?? '', line: lineAt(prose, match.index) }))
    .filter(({ target }) => !/^[a-z]+:/.test(target))
}

function anchorsOf(text: string): Set<string> {
  const headings = [...text.matchAll(/^#+\s+(.*)$/gm)].map((match) => match[1] ?? '')
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    ),
  )
}
