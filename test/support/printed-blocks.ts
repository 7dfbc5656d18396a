/**
 * The blocks of code that a page of the documentation prints, run as they are printed, so that the page cannot rot.
 *
 * A fence says how: "```bash" is typed; "```json web.json" (any language and a file's name) is saved under that name before;
 * "```text" is what must come out, line by line, with … for what differs each time. There are no others.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { run } from '../../src/lib/programs.ts'
import { repositoryRoot } from '../e2e/support/kiln.ts'

export interface Block {
  language: string
  /** The name under which it is saved. */
  file: string | undefined
  text: string
  /** The page's heading (`##`) above it; empty before the first. */
  section: string
}

export interface Ground {
  /** Where files are saved and lines are typed. */
  folder: string
  env: NodeJS.ProcessEnv
  /** What stands for the address that pages print. */
  url: string
  timeoutMs?: number
}

const printedUrl = 'http://127.0.0.1:4566'
const fence = /^```(\w*)(?: (\S+))?\n(.*?)^```$/gms

/** Those of `docs/clients/NAME.md`, in order; of one section if one is named. */
export async function blocksOf(name: string, section?: string): Promise<Block[]> {
  const page = await readFile(join(repositoryRoot, 'docs/clients', `${name}.md`), 'utf8')
  const blocks = [...page.matchAll(fence)].map(({ 1: language, 2: file, 3: text, index }) => ({
    ...{ language: language!, file, text: text! },
    section: /.*^## ([^\n]+)$/ms.exec(page.slice(0, index))?.[1] ?? '',
  }))
  return section === undefined ? blocks : blocks.filter((block) => block.section === section)
}

/** Saves, types and compares; all that was printed. Throws with it when a line fails, or when a block is of no known kind. */
export async function runBlocks(blocks: readonly Block[], ground: Ground): Promise<string> {
  const unknown = blocks.find(({ language, file }) => !file && language !== 'bash' && language !== 'text')
  if (unknown) throw new Error(`nothing says how this block is run:\n${unknown.text}`)
  for (const { file, text } of blocks) if (file) await save(join(ground.folder, file), here(text, ground))
  const textsOf = (language: string) =>
    blocks.flatMap((block) => (block.language === language && !block.file ? [here(block.text, ground)] : []))
  const said = await typeLines(textsOf('bash').join('\n'), ground)
  const missing = textsOf('text')
    .flatMap((text) => text.trimEnd().split('\n'))
    .find((line) => !isSaid(line, said))
  if (missing !== undefined) throw new Error(`the page prints "${missing}", which is not in:\n${said}`)
  return said
}

/** What pages say, at this Kiln's address. */
export const here = (text: string, { url }: Ground) => text.replaceAll(printedUrl, url)

async function save(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, text)
}

/** What a terminal showed. */
export async function typeLines(lines: string, { folder, env, timeoutMs = 540_000 }: Ground): Promise<string> {
  let said = ''
  const onOutput = (text: string) => {
    said += text
  }
  const words = ['-eu', '-o', 'pipefail', '-c', `exec 2>&1\n${lines}`]
  await run('bash', words, { cwd: folder, env, timeoutMs, onOutput }).catch((cause) => {
    throw new Error(`these lines failed:\n${lines}\n\nThey said:\n${said}`, { cause })
  })
  return said
}

/** Whether a line is there; with … in it, whether one begins so and has its other parts, in that order. */
function isSaid(line: string, said: string): boolean {
  const parts = line.split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`, 'm').test(said)
}
