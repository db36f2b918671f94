import type { SVGProps } from 'react';

type Props = SVGProps<SVGSVGElement>;

const icon = (path: string, width = 1.8) =>
  function Icon(props: Props) {
    return (
      <svg viewBox="0 0 24 24" width="20" height="20" fill="none" stroke="currentColor" strokeWidth={width} strokeLinecap="round" strokeLinejoin="round" aria-hidden="true" {...props}>
        <path d={path} />
      </svg>
    );
  };

export const AttachIcon = icon('M20 11.500l-8.300 8.300a5 5 0 0 1-7.100-7.100l8.700-8.700a3.300 3.300 0 0 1 4.700 4.700l-8.600 8.600a1.700 1.700 0 0 1-2.400-2.400l7.900-7.900');
export const BackIcon = icon('M15 5l-7 7 7 7');
export const CheckIcon = icon('M5 12.5l4.5 4.5L19 7.5');
export const ChecksIcon = icon('M2.5 12.5L7 17l9-9.5M11.5 16.5l.5.5 9.5-9.5');
export const ClockIcon = icon('M12 7v5l3 2M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z');
export const CloseIcon = icon('M6 6l12 12M18 6L6 18');
export const DownIcon = icon('M6 9l6 6 6-6');
export const ForwardIcon = icon('M14 6l6 6-6 6M20 12H9a5 5 0 0 0-5 5v1');
export const GroupIcon = icon('M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20a6.5 6.5 0 0 1 13 0M16 4.3a3.5 3.5 0 0 1 0 6.4M18 14.2a6.5 6.5 0 0 1 3.5 5.8');
export const HashIcon = icon('M5 9h15M4 15h15M10 4L8 20M16 4l-2 16');
export const MoreIcon = icon('M5 12h.5M11.75 12h.5M18.5 12h.5', 2.6);
export const MutedIcon = icon('M6 9a6 6 0 0 1 9.5-4.9M18 9c0 3 .6 5 1.5 6.5M5 17h11M6 9c0 5-1.5 6.5-2 8M10 20.5a2 2 0 0 0 4 0M4 4l16 16');
export const PencilIcon = icon('M4 20h4L19 9l-4-4L4 16zM13.5 6.5l4 4');
export const PinIcon = icon('M9 4h6l-.7 6 3.2 3.5v1.5h-11V13.5L9.7 10zM12 15v5.5');
export const ReplyIcon = icon('M10 6l-6 6 6 6M4 12h11a5 5 0 0 1 5 5v1');
export const SearchIcon = icon('M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM20.5 20.5L16 16');
export const SendIcon = icon('M4.5 12L3 4.5l18 7.5-18 7.5zM4.5 12H12');
export const SettingsIcon = icon('M4 7h10M18 7h2M4 17h2M10 17h10M14 7a2 2 0 1 0 4 0 2 2 0 0 0-4 0zM6 17a2 2 0 1 0 4 0 2 2 0 0 0-4 0z');
export const SmileIcon = icon('M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0zM8.5 14.5a4.3 4.3 0 0 0 7 0M9 9.5h.01M15 9.5h.01');
export const ThreadIcon = icon('M4 5h16v10H11l-4 4v-4H4zM8 9h8M8 12h5');
export const WarningIcon = icon('M12 8v5M12 16.5h.01M10.3 4.300L2.9 17a2 2 0 0 0 1.7 3h14.800a2 2 0 0 0 1.7-3L13.7 4.300a2 2 0 0 0-3.4 0z');

export function Logo(props: Props) {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true" {...props}>
      <rect width="32" height="32" rx="9" fill="currentColor" />
      <path d="M8 10.5A2.5 2.5 0 0 1 10.5 8h11a2.5 2.5 0 0 1 2.5 2.5v7a2.5 2.5 0 0 1-2.5 2.5H15l-4.4 3.600a.6.6 0 0 1-1-.5V20A2.5 2.5 0 0 1 8 17.5z" fill="#fff" />
    </svg>
  );
}
