import { forwardRef, type ReactNode, type KeyboardEvent, useEffect, useImperativeHandle, useLayoutEffect, useReducer, useRef } from 'react';
import { flushSync } from 'react-dom';
import { RowWindow } from './rowWindow';

type Align = 'start' | 'center' | 'end';

interface Props<Row extends { key: string }> {
  rows: readonly Row[];
  renderRow(row: Row): ReactNode;
  /** Element above the first row. Its height must not depend on whether there is more to load. */
  header: ReactNode;
  /** Row to show at the top of the view at first; the last one at the bottom if absent. */
  firstShown?: number | undefined;
  label: string;
  loaded: number;
  /** Whether the end is in view; called at first and on each change. */
  onAtBottom(isAtBottom: boolean): void;
  /** The first row is near the view. Called again while that remains so. */
  onNearStart(): void;
  onKeyDown(event: KeyboardEvent<HTMLElement>): void;
}

export interface RowListHandle {
  scrollTo(index: number, align: Align): void;
  /** Scrolls to the end, and follows it. */
  toEnd(): void;
  /** Calls `onNearStart` again if the first row is still near the view. */
  checkStart(): void;
}

/** Distance from the end, in px, up to which the list follows new rows. */
const BOTTOM_PX = 40;

/**
 * A list of which only the rows near the view exist. A row in view keeps its place on the screen while rows come before it, are measured, or change their
 * height: every correction happens in the frame that made it necessary, before that frame is painted.
 */
export const RowList = forwardRef<RowListHandle, Props<{ key: string }>>(function RowList(props, ref) {
  const { rows, renderRow, header, label, loaded, onKeyDown } = props;
  const frame = useRef<HTMLDivElement>(null);
  const space = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const rest = useRef<HTMLDivElement>(null);
  const [, render] = useReducer((count: number) => count + 1, 0);
  const latest = useRef(props);
  latest.current = props;

  const view = useWindow();
  /** Row to scroll to as soon as it exists; without a key the end. */
  const target = useRef<{ key?: string; align: Align } | undefined>(undefined);
  /** The `base` that the page shows: that of the window may be newer. */
  const shownBase = useRef(0);
  const shownTop = useRef(0);
  const isFollowing = useRef(false);
  const wasAtBottom = useRef<boolean>(undefined);
  const isPlaced = useRef(false);

  // The rows' element stands at `base`, after the header and, if the rows do not fill the view, free space.
  const area = () => {
    const { scrollTop, clientHeight } = frame.current!;
    return { top: scrollTop - content.current!.offsetTop + shownBase.current, height: clientHeight };
  };
  if (!isPlaced.current && rows.length > 0) {
    isPlaced.current = true;
    isFollowing.current = props.firstShown === undefined;
    const row = props.firstShown === undefined ? undefined : rows[props.firstShown];
    target.current = row ? { key: row.key, align: 'start' } : { align: 'end' };
  }
  if (view.setRows(rows)) {
    const { current: aim } = target;
    const index = aim ? (aim.key === undefined ? rows.length - 1 : rows.findIndex(({ key }) => key === aim.key)) : -1;
    if (index >= 0) view.moveTo(index, frame.current?.clientHeight ?? 1_000);
    else if (frame.current) view.extend(area());
  }

  /** Measures what was rendered, corrects the place, and reports it. Runs before the browser paints. */
  const settle = () => {
    const list = frame.current;
    // A narrow screen hides the list while a panel is open.
    if (!list || !content.current || list.clientHeight === 0) return;
    view.measure(content.current.children);
    const shift = view.rebase();
    shownBase.current = view.base;
    space.current!.style.height = `${view.base}px`;
    rest.current!.style.height = `${view.restHeight()}px`;
    const { current: aim } = target;
    const index = aim?.key === undefined ? -1 : view.indexOf(aim.key);
    if (aim && index >= 0) {
      const row = content.current.children[index - view.start] as HTMLElement;
      const free = list.clientHeight - row.offsetHeight;
      list.scrollTop = row.offsetTop - (aim.align === 'start' ? 0 : aim.align === 'center' ? free / 2 : free);
      target.current = undefined;
    } else if (aim && aim.key === undefined) {
      list.scrollTop = list.scrollHeight;
      target.current = undefined;
    } else if (isFollowing.current) list.scrollTop = list.scrollHeight;
    else if (shift !== 0) list.scrollTop += shift;
    report();
    if (view.isShort(area())) {
      view.extend(area());
      render();
    }
  };

  const report = () => {
    const list = frame.current!;
    if (list.clientHeight === 0) return;
    shownTop.current = list.scrollTop;
    const isAtBottom = list.scrollHeight - list.scrollTop - list.clientHeight <= BOTTOM_PX;
    isFollowing.current = isAtBottom;
    view.keep(area());
    if (isAtBottom !== wasAtBottom.current) {
      wasAtBottom.current = isAtBottom;
      latest.current.onAtBottom(isAtBottom);
    }
    if (view.start === 0) latest.current.onNearStart();
  };

  const settleNow = useRef(settle);
  settleNow.current = settle;
  const reportNow = useRef(report);
  reportNow.current = report;

  const sizes = useRef<ResizeObserver>(undefined);
  useLayoutEffect(() => {
    const list = frame.current!;
    let width = list.clientWidth;
    let isHidden = false;
    sizes.current = new ResizeObserver(() => {
      if (list.clientHeight === 0) {
        isHidden = true;
        return;
      }
      if (isHidden) list.scrollTop = shownTop.current;
      isHidden = false;
      if (list.clientWidth !== width) view.forget();
      width = list.clientWidth;
      settleNow.current();
    });
    sizes.current.observe(list);
    // Browsers report scrolling before they paint: the rows of the new place exist in the same frame.
    const onScroll = () => {
      reportNow.current();
      if (!view.isShort(area())) return;
      view.extend(area());
      flushSync(render);
    };
    list.addEventListener('scroll', onScroll, { passive: true });
    return () => {
      sizes.current?.disconnect();
      list.removeEventListener('scroll', onScroll);
    };
  }, [view]);

  useLayoutEffect(() => settleNow.current());
  const observed = useRef(new Set<Element>());
  useEffect(() => {
    const now = new Set(content.current?.children);
    for (const row of observed.current) if (!now.has(row)) sizes.current?.unobserve(row);
    for (const row of now) if (!observed.current.has(row)) sizes.current?.observe(row);
    observed.current = now;
  });

  useImperativeHandle(ref, () => ({
    scrollTo: (index, align) => {
      const row = latest.current.rows[index];
      if (!row) return;
      target.current = { key: row.key, align };
      view.moveTo(index, frame.current!.clientHeight);
      render();
    },
    toEnd: () => {
      target.current = { align: 'end' };
      const last = latest.current.rows.length - 1;
      if (last >= 0) view.moveTo(last, frame.current!.clientHeight);
      render();
    },
    checkStart: () => reportNow.current(),
  }));

  return (
    <div ref={frame} className="timeline" role="log" aria-live="off" aria-label={label} data-loaded={loaded} tabIndex={0} onKeyDown={onKeyDown}>
      <div className="timeline-rows">
        {header}
        <div ref={space} className="timeline-space" />
        <div ref={content}>
          {rows.slice(view.start, view.end).map((row) => (
            <div key={row.key} className="timeline-row">
              {renderRow(row)}
            </div>
          ))}
        </div>
        <div ref={rest} />
        <div className="timeline-end" />
      </div>
    </div>
  );
});

function useWindow(): RowWindow {
  const kept = useRef<RowWindow>(undefined);
  return (kept.current ??= new RowWindow());
}
